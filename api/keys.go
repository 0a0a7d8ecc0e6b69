package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orchestrix/orchestrix/control"
)

const keysTag = "keys"

var keyObject = object[control.NewAPIKey]{
	name: "NewAPIKey", description: "An API key to be made.",
	fields: []field[control.NewAPIKey]{
		text("name", func(k *control.NewAPIKey) *string { return &k.Name }, "must not be empty", doc("For people; at most 128 bytes.")).mandatory(),
		list("scopes", func(k *control.NewAPIKey) *[]string { return &k.Scopes }, (*reader).text, &huma.Schema{Type: huma.TypeString},
			doc("read, jobs:write, workers:write and admin, each over all queues or narrowed as in jobs:write@billing.*")).mandatory(),
		instant("expires_at", func(k *control.NewAPIKey) *time.Time { return &k.Expires }, doc("When the key stops to work; never where it is absent.")),
	},
}

// APIKey is an API key as it is shown.
type APIKey struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Scopes    []string  `json:"scopes" nullable:"false"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	Key       string    `json:"key,omitempty" doc:"The key, only in the answer that made it."`
}

func viewKey(k *control.APIKey) APIKey {
	return APIKey{ID: k.ID, Name: k.Name, Scopes: k.Scopes, CreatedAt: k.Created, ExpiresAt: k.Expires, Key: k.Key}
}

type keyOutput struct{ Body APIKey }

type keyPath struct {
	ID string `path:"id"`
}

func (a *api) keyRoutes() {
	const path = "/v1/api-keys"
	register(a, operation{method: "GET", path: path, id: "list-api-keys", tag: keysTag, summary: "List API keys by id"}, a.listKeys)
	register(a, operation{
		method: "POST", path: path, id: "create-api-key", tag: keysTag, status: http.StatusCreated, body: bodyOf(&keyObject),
		summary: "Make an API key; the answer holds it, once",
	}, a.createKey)
	register(a, operation{
		method: "DELETE", path: path + "/{id}", id: "delete-api-key", tag: keysTag, status: 204, errors: []int{404},
		summary: "Take an API key out of use",
	}, a.deleteKey)
}

func (a *api) listKeys(ctx context.Context, in *PageParams) (*listOutput[APIKey], error) {
	list, err := a.control.ListAPIKeys(ctx, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	return newList(list.Keys, list.Cursor, viewKey), nil
}

func (a *api) createKey(ctx context.Context, in *BodyInput) (*keyOutput, error) {
	var n control.NewAPIKey
	if err := decode(&keyObject, in.RawBody, false, &n); err != nil {
		return nil, err
	}
	k, err := a.control.CreateAPIKey(ctx, n)
	return &keyOutput{viewKey(&k)}, err
}

func (a *api) deleteKey(ctx context.Context, in *keyPath) (*struct{}, error) {
	return nil, a.control.DeleteAPIKey(ctx, in.ID)
}

// SigningKey is one of the server's own keys.
type SigningKey struct {
	Secret    string    `json:"secret"`
	CreatedAt time.Time `json:"created_at"`
	Until     time.Time `json:"until,omitzero" doc:"When it stops to sign; absent for the newest."`
}

type signingOutput struct{ Body signingBody }

type signingBody struct {
	Items []SigningKey `json:"items" nullable:"false" doc:"The keys that sign the pushes of ad-hoc jobs, the newest first."`
}

func newSigningOutput(keys []control.SigningKey) *signingOutput {
	out := &signingOutput{signingBody{Items: make([]SigningKey, len(keys))}}
	for i, k := range keys {
		out.Body.Items[i] = SigningKey{k.Secret, k.Created, k.Until}
	}
	return out
}

func (a *api) signingRoutes() {
	const path = "/v1/signing-keys"
	register(a, operation{method: "GET", path: path, id: "list-signing-keys", tag: keysTag, summary: "Read the keys that sign ad-hoc jobs"}, a.signingKeys)
	register(a, operation{
		method: "POST", path: path + "/rotate", id: "rotate-signing-key", tag: keysTag, errors: []int{409}, body: optional(&rotationObject),
		summary: "Make a new key that signs ad-hoc jobs",
	}, a.rotateSigningKey)
}

func (a *api) signingKeys(ctx context.Context, _ *none) (*signingOutput, error) {
	keys, err := a.control.SigningKeys(ctx)
	return newSigningOutput(keys), err
}

func (a *api) rotateSigningKey(ctx context.Context, in *BodyInput) (*signingOutput, error) {
	var rotation control.Rotation
	if err := decodeOptional(&rotationObject, in.RawBody, &rotation); err != nil {
		return nil, err
	}
	keys, err := a.control.RotateSigningKey(ctx, rotation)
	return newSigningOutput(keys), err
}
