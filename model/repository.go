package model

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blindbox/blindbox/internal/batches"
	"github.com/blindbox/blindbox/internal/sizes"
	"github.com/blindbox/blindbox/model/store"
)

// Headers of an upload. Source: draft-ietf-httpbis-resumable-upload, of which this is
// a part: an upload is created by POST, goes on by PATCH, and tells by HEAD how far it
// has come; RFC 9530 for the digest.
const (
	uploadOffset   = "Upload-Offset"
	uploadLength   = "Upload-Length"
	uploadComplete = "Upload-Complete"
	reprDigest     = "Repr-Digest"
)

// card is what a caller is told about a model: Triton's model index, and more.
type card struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	State      string `json:"state"`
	Reason     string `json:"reason,omitempty"`
	ID         string `json:"id"`
	Owner      string `json:"owner,omitempty"`
	Visibility string `json:"visibility"`
	Optimize   bool   `json:"optimize"`
	Batch      int    `json:"batch,omitempty"`
	Loaded     bool   `json:"loaded"`
	Pinned     bool   `json:"pinned"`
	Size       int64  `json:"size"`
	Memory     int64  `json:"memory,omitempty"`
	Uploaded   string `json:"uploaded,omitempty"`
}

// cardOf describes a model to a caller. One that is sealed is ready: it is loaded when
// it is asked for.
func cardOf(e store.Entry, caller string) card {
	c := card{Name: shownTo(e, caller), Version: strconv.Itoa(e.Version), State: "READY", ID: e.Digest.String(), Owner: e.Owner,
		Visibility: e.Visibility.String(), Optimize: !strings.HasPrefix(e.Options, unfused), Batch: batchSize(e.Options), Loaded: e.State == store.Loaded, Pinned: e.Pinned, Size: e.Size, Memory: e.Memory}
	if !e.Uploaded.IsZero() {
		c.Uploaded = e.Uploaded.UTC().Format(time.RFC3339)
	}
	switch e.State {
	case store.Loading:
		c.State = "LOADING"
	case store.Unusable:
		c.State, c.Reason = "UNAVAILABLE", "its sealed file was refused when it was last asked for; upload it again or delete it"
	}
	return c
}

// index describes the models that a caller may know of, in the order of their names.
func (s *Server) index(r *http.Request) ([]card, error) {
	caller := r.Header.Get(CallerHeader)
	entries, err := s.store.List(caller)
	if err != nil {
		return nil, s.refusal(s.ctx, err)
	}
	list := make([]card, 0, len(entries))
	for _, e := range entries {
		if s.shows(r, e.Canonical()) {
			list = append(list, cardOf(e, caller))
		}
	}
	slices.SortStableFunc(list, func(a, b card) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// repository answers for what is below /v2/repository.
func (s *Server) repository(w http.ResponseWriter, r *http.Request, rest []string) (reply, error) {
	caller := r.Header.Get(CallerHeader)
	switch {
	case len(rest) == 1 && rest[0] == "index":
		if err := allow(w, r, http.MethodGet, http.MethodPost); err != nil {
			return reply{}, err
		}
		list, err := s.index(r)
		return object(http.StatusOK, list, err)
	case !s.brings:
		return reply{}, fail(http.StatusNotFound, "no such path: callers bring no models to this box")
	case len(rest) == 1 && rest[0] == "uploads":
		return s.begin(w, r, caller)
	case len(rest) == 2 && rest[0] == "uploads":
		return s.upload(w, r, caller, rest[1])
	case len(rest) >= 2 && rest[0] == "models":
		return s.manage(w, r, caller, rest[1], rest[2:])
	}
	return reply{}, fail(http.StatusNotFound, "no such path")
}

// manage deletes, loads, unloads, pins and unpins a model.
func (s *Server) manage(w http.ResponseWriter, r *http.Request, caller, name string, rest []string) (reply, error) {
	version := ""
	if len(rest) >= 2 && rest[0] == "versions" {
		version, rest = rest[1], rest[2:]
	}
	ref, err := reference(name, version)
	if err != nil {
		return reply{}, err
	}
	do, method := s.changes(caller, r, rest)
	if do == nil {
		return reply{}, fail(http.StatusNotFound, "no such path")
	}
	if err := allow(w, r, method); err != nil {
		return reply{}, err
	}
	e, err := s.entry(r, ref)
	if err != nil {
		return reply{}, err
	}
	// Exactly this model is changed, whatever the name leads to by now.
	if err := do(e.Reference()); err != nil {
		return reply{}, s.refusal(r.Context(), err)
	}
	if method == http.MethodDelete {
		left, err := s.left(r.Context(), caller, e.Name)
		return object(http.StatusOK, deleted{shownTo(e, caller), strconv.Itoa(e.Version), e.Digest.String(), left}, err)
	}
	if e, err = s.entry(r, e.Reference()); err != nil {
		return reply{}, err
	}
	return object(http.StatusOK, cardOf(e, caller), nil)
}

// deleted is what a caller is told of a model that is gone: which it was, for a name may
// have had several versions, and which of its own are left.
type deleted struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	ID      string   `json:"id"`
	Left    []string `json:"left"`
}

// left are the versions that a caller has of a name, the oldest first.
func (s *Server) left(ctx context.Context, caller, name string) ([]string, error) {
	entries, err := s.store.List(caller)
	if err != nil {
		return nil, s.refusal(ctx, err)
	}
	var versions []int
	for _, e := range entries {
		if e.Owner == caller && e.Name == name {
			versions = append(versions, e.Version)
		}
	}
	slices.Sort(versions)
	list := make([]string, len(versions))
	for i, v := range versions {
		list[i] = strconv.Itoa(v)
	}
	return list, nil
}

// changes is what is done to a model at the end of a path, and the method that does it;
// nil for a path that is none.
func (s *Server) changes(caller string, r *http.Request, rest []string) (do func(store.Reference) error, method string) {
	switch {
	case len(rest) == 0:
		return func(m store.Reference) error { return s.store.Delete(caller, m) }, http.MethodDelete
	case len(rest) > 1:
		return nil, ""
	}
	return map[string]func(store.Reference) error{
		"load":   func(m store.Reference) error { return s.store.Load(r.Context(), caller, m) },
		"unload": func(m store.Reference) error { return s.store.Unload(caller, m) },
		"pin":    func(m store.Reference) error { return s.store.Pin(r.Context(), caller, m) },
		"unpin":  func(m store.Reference) error { return s.store.Unpin(caller, m) },
	}[rest[0]], http.MethodPost
}

// begin takes a model, or the first part of one.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, caller string) (reply, error) {
	if err := allow(w, r, http.MethodPost); err != nil {
		return reply{}, err
	}
	spec, err := specOf(r)
	if err != nil {
		return reply{}, err
	}
	complete, err := isComplete(r.Header, true)
	if err != nil {
		return reply{}, err
	}
	if err := raw(r.Header); err != nil {
		return reply{}, err
	}
	u, err := s.store.Begin(caller, spec)
	if err != nil {
		return reply{}, s.refusal(r.Context(), err)
	}
	w.Header().Set("Location", uploadsPath+u.ID())
	return s.take(w, r, u, caller, 0, complete)
}

const uploadsPath = "/v2/repository/uploads/"

// upload goes on with an upload, tells how far it is, or ends it.
func (s *Server) upload(w http.ResponseWriter, r *http.Request, caller, id string) (reply, error) {
	if err := allow(w, r, http.MethodPatch, http.MethodHead, http.MethodDelete); err != nil {
		return reply{}, err
	}
	u, err := s.store.Upload(caller, id)
	if err != nil {
		return reply{}, s.refusal(r.Context(), err)
	}
	switch r.Method {
	case http.MethodHead:
		w.Header().Set(uploadOffset, strconv.FormatInt(u.Offset(), 10))
		w.Header().Set(uploadComplete, "?0")
		w.Header().Set("Cache-Control", "no-store")
		return reply{status: http.StatusNoContent}, nil
	case http.MethodDelete:
		u.Abort()
		return reply{status: http.StatusNoContent}, nil
	}
	at, err := number(r.Header, uploadOffset)
	if err != nil {
		return reply{}, err
	}
	if at < 0 {
		return reply{}, fail(http.StatusBadRequest, "no %s, expected where the part begins", uploadOffset)
	}
	complete, err := isComplete(r.Header, false)
	if err != nil {
		return reply{}, err
	}
	if err := raw(r.Header); err != nil {
		return reply{}, err
	}
	if d, err := digestOf(r.Header); err != nil {
		return reply{}, err
	} else if err := expect(u, d); err != nil {
		return reply{}, s.refusal(r.Context(), err)
	}
	return s.take(w, r, u, caller, at, complete)
}

// expect announces a digest, if there is one.
func expect(u *store.Upload, d store.Digest) error {
	if d.IsZero() {
		return nil
	}
	return u.Expect(d)
}

// take reads a part, and makes a model of the file if the part was the last.
func (s *Server) take(w http.ResponseWriter, r *http.Request, u *store.Upload, caller string, at int64, complete bool) (reply, error) {
	_, err := u.Append(at, r.Body)
	w.Header().Set(uploadOffset, strconv.FormatInt(u.Offset(), 10))
	w.Header().Set(uploadComplete, "?0")
	if err != nil {
		return reply{}, s.notTaken(r, u, caller, err)
	}
	if !complete {
		return reply{status: http.StatusNoContent}, nil
	}
	e, err := u.Finish(r.Context())
	if err != nil {
		return reply{}, s.refusal(r.Context(), err)
	}
	w.Header().Set(uploadComplete, "?1")
	return object(http.StatusCreated, cardOf(e, caller), nil)
}

// notTaken says why a part was not read to its end.
func (s *Server) notTaken(r *http.Request, u *store.Upload, caller string, err error) error {
	told := s.refusal(r.Context(), err)
	var known *failure
	if errors.As(told, &known) {
		return told
	}
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		u.Abort()
		return fail(http.StatusRequestEntityTooLarge, "a model may have %s; nothing was kept", sizes.Exact(over.Limit))
	}
	if _, gone := s.store.Upload(caller, u.ID()); gone != nil {
		return err // of the box, and not the sender's
	}
	return fail(http.StatusBadRequest, "the body ended early; %d bytes are kept, go on from there", u.Offset())
}

// raw refuses a body that is not the file as it is.
func raw(h http.Header) error {
	if e := h.Get("Content-Encoding"); e != "" && e != "identity" {
		return fail(http.StatusUnsupportedMediaType, "compressed models are not supported: send the file as it is")
	}
	typ, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	if strings.HasPrefix(typ, "multipart/") || typ == "application/x-www-form-urlencoded" {
		return fail(http.StatusUnsupportedMediaType, "a body of %s, expected the file as it is: application/octet-stream", typ)
	}
	return nil
}

// specOf reads what the caller says about the model that it sends.
func specOf(r *http.Request) (store.Spec, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return store.Spec{}, fail(http.StatusBadRequest, "the query cannot be read")
	}
	spec := store.Spec{Name: q.Get("name")}
	for key, values := range q {
		if len(values) > 1 {
			return spec, fail(http.StatusBadRequest, "%.40q is there %d times", key, len(values))
		}
		if err := setting(&spec, key, values[0]); err != nil {
			return spec, err
		}
	}
	if spec.Length, err = number(r.Header, uploadLength); err != nil {
		return spec, err
	}
	spec.Length = max(spec.Length, 0)
	spec.Expected, err = digestOf(r.Header)
	return spec, err
}

// setting reads one parameter of an upload.
func setting(spec *store.Spec, key, value string) error {
	bad := func(expected string) error {
		return fail(http.StatusBadRequest, "%s=%.80q, expected %s", key, value, expected)
	}
	switch key {
	case "name":
	case "version":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return bad("a number from 1")
		}
		spec.Version = n
	case "visibility":
		switch value {
		case "private":
		case "shared":
			spec.Visibility = store.Shared
		default:
			return bad("private or shared")
		}
	case "optimize":
		switch value {
		case "true":
		case "false":
			spec.Options = joined(unfused, spec.Options)
		default:
			return bad("true or false")
		}
	case "batch":
		n, err := strconv.Atoi(value)
		if err != nil || (Batching{Size: n}).check() != nil || n == 0 {
			return bad(fmt.Sprintf("a number of rows from %d to %d", batches.MinRows, batches.MaxRows))
		}
		spec.Options = joined(spec.Options, Batching{Size: n}.option())
	default:
		return fail(http.StatusBadRequest, "unknown parameter %.40q, expected name, version, visibility, optimize or batch", key)
	}
	return nil
}

// joined are options that may be "".
func joined(a, b string) string { return strings.Trim(a+","+b, ",") }

// number reads a header that is a number of bytes; -1 if it is not there.
func number(h http.Header, name string) (int64, error) {
	said := h.Values(name)
	if len(said) == 0 {
		return -1, nil
	}
	n, err := strconv.ParseInt(said[0], 10, 64)
	if err != nil || n < 0 || len(said) > 1 {
		return -1, fail(http.StatusBadRequest, "%s is %.40q, expected one number of bytes", name, strings.Join(said, ", "))
	}
	return n, nil
}

// isComplete reads whether the body is the last part.
func isComplete(h http.Header, otherwise bool) (bool, error) {
	switch said := strings.Join(h.Values(uploadComplete), ", "); said {
	case "":
		return otherwise, nil
	case "?1", "?0":
		return said == "?1", nil
	default:
		return false, fail(http.StatusBadRequest, "%s is %.40q, expected ?0 or ?1", uploadComplete, said)
	}
}

// digestOf reads the digest that the caller has announced: the zero one if none.
func digestOf(h http.Header) (d store.Digest, err error) {
	said := strings.Join(h.Values(reprDigest), ", ")
	if said == "" {
		return d, nil
	}
	wrong := fail(http.StatusBadRequest, "%s is %.120q, expected sha-256=:BASE64:", reprDigest, said)
	text, ok := strings.CutPrefix(said, "sha-256=:")
	text, end := strings.CutSuffix(text, ":")
	sum, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || !end || err != nil || len(sum) != len(d) {
		return d, wrong
	}
	if d = store.Digest(sum); d.IsZero() {
		return d, wrong
	}
	return d, nil
}

// Model is which model a request of a caller is for: its canonical name, under which
// the policy decides about it, and its id. The name is NAME for a model of the box and
// OWNER~NAME for one that a caller brings or has brought, whatever the request calls
// it. It is "" for a request that is for none. Of a model that the caller cannot know it
// is the name as it was given, without an id; of an upload the id is what was announced.
//
// body is the whole body of a request whose model stands there, see [InBody]. What this
// took for the model's name is what an answer is made from, or there is none. The error
// says why there is no one name in it, and holds nothing of the request; one with a
// method Later() that is true says that the box has no time for it now.
func (s *Server) Model(caller string, r *http.Request, body []byte) (name string, id store.Digest, err error) {
	if InBody(r) {
		beside := s.work(r.Context(), caller)
		defer beside.end()
		if name, err = named(r, body, beside); err == nil {
			name, id = s.known(caller, []string{name})
		}
		return name, id, err
	}
	name, id = s.inPath(caller, r)
	return name, id, nil
}

// inPath is the model that stands in a request's path, or header for an upload.
func (s *Server) inPath(caller string, r *http.Request) (name string, id store.Digest) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) < 3 {
		return "", id
	}
	switch at := parts[1] + "/" + parts[2]; {
	case parts[0] == "v1" && parts[1] == "models":
		return s.known(caller, parts[2:3])
	case parts[0] != "v2":
	case parts[1] == "models":
		return s.known(caller, parts[2:])
	case at == "repository/models" && len(parts) > 3:
		return s.known(caller, parts[3:])
	case at == "repository/uploads" && len(parts) > 3:
		if u, err := s.store.Upload(caller, parts[3]); err == nil {
			spec := u.Spec()
			if id, _ = digestOf(r.Header); id.IsZero() {
				id = spec.Expected
			}
			return store.Entry{Owner: caller, Name: spec.Name}.Canonical(), id
		}
	case at == "repository/uploads":
		id, _ = digestOf(r.Header) // what is wrong with it is said by who reads the upload
		return store.Entry{Owner: caller, Name: r.URL.Query().Get("name")}.Canonical(), id
	}
	return "", store.Digest{}
}

// known is the model that a path names, of which the first part is its name.
func (s *Server) known(caller string, path []string) (name string, id store.Digest) {
	version := ""
	if len(path) > 2 && path[1] == "versions" {
		version = path[2]
	}
	ref, err := reference(path[0], version)
	if err != nil {
		return path[0], id
	}
	e, err := s.store.Get(caller, ref)
	if err != nil {
		return path[0], id
	}
	return e.Canonical(), e.Digest
}
