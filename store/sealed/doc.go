// Package sealed keeps a store's documents encrypted at rest: workers with their
// signing secrets and credentials, and the store's own signing keys.
//
// A Keyring holds one or more keys, from a file. The first one encrypts, each
// decrypts what was encrypted with it, so that keys are rotated by putting a new
// one on top. A document is sealed with AES-256-GCM; its kind and its name are
// authenticated too, so that one cannot be put in the place of another.
//
// Open brings all documents under the first key, those that were plain as well,
// and fails where one cannot be read: a server with the wrong keys does not
// start. Names of documents and all of the jobs, their payloads and headers
// included, stay as they are: encrypt the disk where they are secret.
package sealed
