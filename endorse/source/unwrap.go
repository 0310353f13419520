package source

import (
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/strictjson"
)

// Unwrap returns the signed object that an answer's body holds. It establishes
// no more than that there is one; data may share memory with body.
func (o Object) Unwrap(body []byte) ([]byte, error) {
	switch {
	case !o.Valid():
		return nil, errors.New("source: no object")
	case len(body) == 0:
		return nil, fmt.Errorf("source: %s: empty", o.what)
	case int64(len(body)) > o.Limit():
		return nil, fmt.Errorf("source: %s: %d bytes, limit %d", o.what, len(body), o.Limit())
	case o.form != FormRIM:
		return body, nil
	}
	return o.unwrapRIM(body)
}

// unwrapRIM takes the manifest out of the service's answer (NVIDIA RIM service
// API v1, GET /v1/rim/{id}). Members that say something about the answer and not
// about the manifest are left alone.
func (o Object) unwrapRIM(body []byte) ([]byte, error) {
	var answer struct {
		ID  string `json:"id"`
		RIM string `json:"rim"`
	}
	if err := strictjson.Decode(body, &answer, strictjson.Options{AllowUnknown: true}); err != nil {
		return nil, fmt.Errorf("source: %s: %w", o.what, err)
	}
	if want := o.label[len(attest.LabelNVIDIARIM):]; answer.ID != want {
		return nil, fmt.Errorf("source: %s: the answer is for another id, expected %s", o.what, want)
	}
	data, err := base64.StdEncoding.Strict().DecodeString(answer.RIM)
	switch {
	case err != nil:
		return nil, fmt.Errorf("source: %s: %w", o.what, err)
	case len(data) == 0 || len(data) > attest.MaxEndorsement:
		return nil, fmt.Errorf("source: %s: %d bytes, expected 1 to %d", o.what, len(data), attest.MaxEndorsement)
	}
	return data, nil
}

// Wrap is the inverse of Unwrap: the body with which the vendor would answer.
func (o Object) Wrap(data []byte) []byte {
	if o.form != FormRIM {
		return data
	}
	// An id has no character that JSON would have to escape.
	id := o.label[len(attest.LabelNVIDIARIM):]
	return []byte(`{"id":"` + id + `","rim":"` + base64.StdEncoding.EncodeToString(data) + `","rim_format":"SWID"}`)
}
