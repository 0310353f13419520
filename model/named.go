package model

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/internal/strictjson"
)

// Paths below /v1 whose model stands in the body.
const (
	embeddingsPath     = "embeddings"
	transcriptionsPath = "audio/transcriptions"
)

// InBody reports whether the model that a request is for stands in its body: it has to
// be read, whole, before anybody can decide about it.
func InBody(r *http.Request) bool {
	path, below := strings.CutPrefix(strings.Trim(r.URL.Path, "/"), "v1/")
	return below && r.Method == http.MethodPost && (path == embeddingsPath || path == transcriptionsPath)
}

// named reads which model a body asks for. It takes no other body than those that
// answer it do, and each reads the model in the same way: what one reader took for the
// model's name and another for something else would be decided about as one and run as
// the other. The error holds nothing of the body.
func named(r *http.Request, body []byte, beside *work) (name string, err error) {
	if strings.HasSuffix(strings.Trim(r.URL.Path, "/"), transcriptionsPath) {
		name, err = namedInForm(r.Header, body)
	} else {
		name, err = namedInJSON(r.Header, body, beside)
	}
	if err != nil {
		return "", err
	}
	ok, err := regexp.MatchString(`^[A-Za-z0-9][A-Za-z0-9._~:-]{0,255}$`, name)
	if err != nil || !ok {
		return "", errors.New("the model is called otherwise than a box calls one: up to 256 letters, digits, '.', '_', '~', ':', '-', such as minilm")
	}
	return name, nil
}

// namedInJSON finds the one member "model" of a JSON object. The others that an answer
// is made of are read for their form alone.
func namedInJSON(h http.Header, body []byte, beside *work) (string, error) {
	if err := isJSON(h); err != nil {
		return "", err
	}
	found, name := false, ""
	err := oneObject(body, beside, func(r *strictjson.Reader, member string) (err error) {
		switch {
		case member == "model":
			found = true
			name, err = r.String()
		case slices.Contains(embeddingMembers(), member):
			_, err = r.Skip()
		default:
			err = errMember
		}
		return err
	})
	if err != nil {
		return "", inJSON(err)
	}
	if !found {
		return "", errors.New(`the body has no member "model"`)
	}
	return name, nil
}

// embeddingMembers are what a request for embeddings may have.
func embeddingMembers() []string {
	return []string{"model", "input", "encoding_format", "dimensions", "user"}
}

var errMember = fmt.Errorf("the body has another member than %s", strings.Join(embeddingMembers(), ", "))

// oneObject reads a document that is one object, with arrays of arrays at most in it.
func oneObject(body []byte, beside *work, member func(r *strictjson.Reader, name string) error) error {
	if err := beside.on(len(body)); err != nil {
		return err
	}
	r, err := strictjson.NewReader(body, strictjson.Limits{Bytes: len(body) + 1, Depth: 3, Members: maxMembers, Stop: beside.pause})
	if err != nil {
		return err
	}
	if err := r.Object(func(name string) error { return member(r, name) }); err != nil {
		return err
	}
	return r.End()
}

// inJSON says where a body is wrong, and not how: the reader's words may hold a name
// that stands there.
func inJSON(err error) error {
	var at *strictjson.Error
	if !errors.As(err, &at) {
		return err
	}
	return fmt.Errorf(`the body is wrong at byte %d: it must be one JSON object in UTF-8, with each member once and "model" a string`, at.Offset)
}

// isJSON refuses a body that says that it is something else.
func isJSON(h http.Header) error {
	typ, given, err := typeOf(h)
	if err == nil && (typ != "" && typ != "application/json" || !slices.Contains([]string{"", "utf-8"}, strings.ToLower(given["charset"]))) {
		err = errors.New("the body is of another type, expected Content-Type: application/json")
	}
	return err
}

// typeOf reads the type of a body that is sent as it is.
func typeOf(h http.Header) (typ string, given map[string]string, err error) {
	if e := strings.Join(h.Values("Content-Encoding"), ", "); e != "" && e != "identity" {
		return "", nil, errors.New("the body is compressed, which is not supported: send it as it is")
	}
	said := h.Values("Content-Type")
	if len(said) == 0 {
		return "", nil, nil
	}
	if typ, given, err = mime.ParseMediaType(said[0]); err != nil || len(said) > 1 {
		return "", nil, errors.New("there is not one Content-Type that can be read")
	}
	return typ, given, nil
}

// namedInForm finds the one field "model" of a form.
func namedInForm(h http.Header, body []byte) (string, error) {
	parts, err := readForm(h, body)
	if err != nil {
		return "", err
	}
	return oneField(parts, "model")
}
