// Package mirror serves a cache of vendors' objects under the vendors' own
// paths. It answers one question, on a site without a way out: what would AMD,
// Intel or NVIDIA have answered when the cache was filled?
//
// Nobody has to trust it. What it serves is signed by the vendors and verified
// by whoever asks; a mirror that lies or falls behind is noticed. It fetches
// nothing itself and answers only what package source can name.
package mirror

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/blindbox/blindbox/endorse/cache"
	"github.com/blindbox/blindbox/endorse/source"
)

// maxRequest is the largest body of a request, an OCSP request for one
// certificate.
const maxRequest = 1 << 10

// Handler answers from a cache. It is safe for concurrent use.
type Handler struct{ dir *cache.Dir }

// New returns a Handler.
func New(dir *cache.Dir) (*Handler, error) {
	if dir == nil {
		return nil, errors.New("mirror: no cache to serve")
	}
	return &Handler{dir}, nil
}

// NewServer returns a server for h whose clients cannot hold it up.
func NewServer(h *Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

// ServeHTTP answers with the object, or 404 if the cache has none.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body []byte
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		var err error
		if body, err = io.ReadAll(io.LimitReader(r.Body, maxRequest+1)); err != nil || len(body) > maxRequest || len(body) == 0 {
			refuse(w, http.StatusBadRequest, "not an OCSP request for one certificate")
			return
		}
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		refuse(w, http.StatusMethodNotAllowed, "only GET, and POST for OCSP")
		return
	}
	o, err := source.FromRequest(r.URL.Path, r.URL.RawQuery, body)
	if err != nil {
		refuse(w, http.StatusNotFound, "not an address of AMD's, Intel's or NVIDIA's service")
		return
	}
	e, found, err := h.dir.Get(o.Key())
	switch {
	case err != nil:
		refuse(w, http.StatusInternalServerError, "the cache cannot be read")
		return
	case !found:
		refuse(w, http.StatusNotFound, "not in this mirror: "+o.What())
		return
	}
	answer(w, o, e)
}

func answer(w http.ResponseWriter, o source.Object, e cache.Entry) {
	body := o.Wrap(e.Data)
	w.Header().Set("Content-Type", contentType(o.Form()))
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if name := o.IssuerHeader(); name != "" {
		w.Header().Set(name, url.PathEscape(string(e.Chain)))
	}
	_, _ = w.Write(body)
}

func contentType(f source.Form) string {
	switch f {
	case source.FormCRL:
		return "application/pkix-crl"
	case source.FormOCSP:
		return "application/ocsp-response"
	case source.FormVCEK:
		return "application/pkix-cert"
	}
	return "application/json"
}

func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}
