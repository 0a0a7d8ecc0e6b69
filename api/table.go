package api

import (
	"net/textproto"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orchestrix/orchestrix/api/jsonscan"
	"github.com/orchestrix/orchestrix/job"
)

// object is the table of an object's members: what it may hold, how each is
// read, and how it is described.
type object[T any] struct {
	name        string
	description string
	// defaults is what a merge patch resets a member to.
	defaults func() T
	fields   []field[T]
}

// field is one member of an object.
type field[T any] struct {
	name     string
	schema   *huma.Schema
	required bool
	read     func(r *reader, into *T)
	reset    func(into, defaults *T)
}

func (f field[T]) mandatory() field[T] {
	f.required = true
	return f
}

// read decodes an object into a value that holds the defaults or, in a merge
// patch, what stood before.
func (o *object[T]) read(r *reader, into *T) {
	if r.scan.Peek() != jsonscan.Object {
		r.wrong("an object")
		return
	}
	var seen uint64
	for r.scan.Enter(jsonscan.Object); r.scan.Next(jsonscan.Object); {
		key := r.scan.Key()
		if r.scan.Err() != nil {
			break
		}
		i := o.index(key)
		if i < 0 {
			r.skip(shownName(string(key)), "is not known")
			continue
		}
		if seen&(1<<i) != 0 {
			r.skip(o.fields[i].name, "is there twice")
			continue
		}
		seen |= 1 << i
		r.push(o.fields[i].name)
		o.member(r, &o.fields[i], into)
		r.pop()
	}
	o.missing(r, seen)
}

func (o *object[T]) member(r *reader, f *field[T], into *T) {
	if r.patch && r.scan.Peek() == jsonscan.Null {
		r.scan.Null()
		defaults := o.defaults()
		f.reset(into, &defaults)
		return
	}
	f.read(r, into)
}

func (r *reader) skip(name, message string) {
	r.push(name)
	r.scan.Skip()
	r.bad(message)
	r.pop()
}

// index returns the place of a member in the table, -1 where it is not there.
// The tables are short, and comparing lengths comes first: no map is faster.
func (o *object[T]) index(name []byte) int {
	for i := range o.fields {
		if o.fields[i].name == string(name) {
			return i
		}
	}
	return -1
}

func (o *object[T]) missing(r *reader, seen uint64) {
	if r.patch || r.scan.Err() != nil {
		return
	}
	for i := range o.fields {
		if o.fields[i].required && seen&(1<<i) == 0 {
			r.push(o.fields[i].name)
			r.bad("is required")
			r.pop()
		}
	}
}

// describe returns the object's schema.
func (o *object[T]) describe(patch bool) *huma.Schema {
	s := &huma.Schema{
		Type: huma.TypeObject, Description: o.description, AdditionalProperties: false,
		Properties: make(map[string]*huma.Schema, len(o.fields)),
	}
	for _, f := range o.fields {
		s.Properties[f.name] = f.schema
		if patch {
			s.Properties[f.name] = &huma.Schema{AnyOf: []*huma.Schema{f.schema, {Type: "null"}}}
		} else if f.required {
			s.Required = append(s.Required, f.name)
		}
	}
	return s
}

// value is a member of a simple type. A zero that is written out is refused with
// the message notZero, unless that is empty: zero stands for unset.
func value[T any, V comparable](name string, at func(*T) *V, read func(*reader) (V, bool), notZero string, s *huma.Schema) field[T] {
	return field[T]{
		name: name, schema: s,
		read: func(r *reader, into *T) {
			v, ok := read(r)
			if !ok {
				return
			}
			var zero V
			if v == zero && notZero != "" {
				r.bad(notZero)
			}
			*at(into) = v
		},
		reset: func(into, defaults *T) { *at(into) = *at(defaults) },
	}
}

func text[T any, S ~string](name string, at func(*T) *S, notEmpty string, s *huma.Schema) field[T] {
	s.Type = huma.TypeString
	return value(name, at, func(r *reader) (S, bool) {
		v, ok := r.text()
		return S(v), ok
	}, notEmpty, s)
}

// word is text of which there are few: see reader.intern.
func word[T any](name string, at func(*T) *string, notEmpty string, s *huma.Schema) field[T] {
	s.Type = huma.TypeString
	return value(name, at, (*reader).word, notEmpty, s)
}

func integer[T any](name string, at func(*T) *int, notZero string, s *huma.Schema) field[T] {
	s.Type = huma.TypeInteger
	return value(name, at, (*reader).integer, notZero, s)
}

func boolean[T any](name string, at func(*T) *bool, s *huma.Schema) field[T] {
	s.Type = huma.TypeBoolean
	return value(name, at, (*reader).boolean, "", s)
}

func number[T any](name string, at func(*T) *float64, notZero string, s *huma.Schema) field[T] {
	s.Type = huma.TypeNumber
	return value(name, at, (*reader).number, notZero, s)
}

func duration[T any](name string, at func(*T) *job.Duration, notZero string, s *huma.Schema) field[T] {
	s.Type = huma.TypeString
	s.Examples = append(s.Examples, "1m30s")
	return value(name, at, (*reader).duration, notZero, s)
}

func instant[T any](name string, at func(*T) *time.Time, s *huma.Schema) field[T] {
	s.Type, s.Format = huma.TypeString, "date-time"
	return value(name, at, (*reader).instant, "must not be the year 1", s)
}

// list is a member that is an array of simple values.
func list[T, V any](name string, at func(*T) *[]V, read func(*reader) (V, bool), item, s *huma.Schema) field[T] {
	s.Type, s.Items = huma.TypeArray, item
	return field[T]{
		name: name, schema: s,
		read: func(r *reader, into *T) {
			out := []V{}
			r.list(func(int) {
				if v, ok := read(r); ok {
					out = append(out, v)
				}
			})
			*at(into) = out
		},
		reset: func(into, defaults *T) { *at(into) = *at(defaults) },
	}
}

// texts is a member that is an object of strings.
func texts[T any](name string, at func(*T) *map[string]string, s *huma.Schema) field[T] {
	s.Type, s.AdditionalProperties = huma.TypeObject, &huma.Schema{Type: huma.TypeString}
	return field[T]{
		name: name, schema: s,
		read:  func(r *reader, into *T) { *at(into) = r.texts(*at(into), nil) },
		reset: func(into, defaults *T) { *at(into) = *at(defaults) },
	}
}

// headers is texts whose names are those of HTTP headers: a patch means the one that
// there is, however its name is written.
func headers[T any](name string, at func(*T) *map[string]string, s *huma.Schema) field[T] {
	f := texts(name, at, s)
	f.read = func(r *reader, into *T) {
		if r.patch {
			*at(into) = r.texts(*at(into), textproto.CanonicalMIMEHeaderKey) // as it is stored
			return
		}
		*at(into) = r.texts(*at(into), nil)
	}
	return f
}

// nested is a member that is an object with a table of its own.
func nested[T, U any](name string, at func(*T) *U, o *object[U]) field[T] {
	return field[T]{
		name: name, schema: o.describe(false),
		read:  func(r *reader, into *T) { o.read(r, at(into)) },
		reset: func(into, defaults *T) { *at(into) = *at(defaults) },
	}
}

// optionalNested is like nested, for an object of which empty and absent
// differ.
func optionalNested[T, U any](name string, at func(*T) **U, o *object[U]) field[T] {
	return field[T]{
		name: name, schema: o.describe(false),
		read: func(r *reader, into *T) {
			var v U
			if old := *at(into); old != nil {
				v = *old // a patch merges into what there is
			}
			o.read(r, &v)
			*at(into) = &v
		},
		reset: func(into, defaults *T) { *at(into) = *at(defaults) },
	}
}

// pointer is like value, for a member of which zero and absent differ.
func pointer[T, V any](name string, at func(*T) **V, read func(*reader) (V, bool), s *huma.Schema) field[T] {
	return field[T]{
		name: name, schema: s,
		read: func(r *reader, into *T) {
			if v, ok := read(r); ok {
				*at(into) = &v
			}
		},
		reset: func(into, defaults *T) { *at(into) = *at(defaults) },
	}
}
