package compress

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// DecodeStrict decodes JSON and refuses keys that v does not have.
func DecodeStrict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// ValueOr returns what p points to, a field that was given, or the default.
func ValueOr[T any](p *T, def T) T {
	if p != nil {
		return *p
	}
	return def
}

// EachKey calls f for the keys of a JSON object in the order of the text, which
// decides between scopes that match the same operator. null has no keys.
func EachKey(b []byte, f func(key string, raw json.RawMessage) error) error {
	d := json.NewDecoder(bytes.NewReader(b))
	t, err := d.Token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('{') {
		return fmt.Errorf("got %v, want an object", t)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return err
		}
		if err := f(key.(string), raw); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}
