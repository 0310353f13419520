package receipt

import (
	"crypto/sha256"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	form "github.com/blindbox/blindbox/receipt"
)

// attempt is what is known of a request for which a receipt was asked.
type attempt struct {
	id, nonce string
	began     time.Time
	request   *http.Request // for its method, its length and its trailers
	head      form.Digest
	trailing  bool   // fields are announced that follow the body
	alone     bool   // no other request was running at the beginning
	begun     uint64 // how many requests had begun then
	flows     []form.Flow
	body      half // of the request
	answer    half

	mu         sync.Mutex
	caller     string
	serves     []form.Artifact // nil: all that the box serves
	decision   form.Decision
	position   form.Position
	status     int // 0 until the answer begins
	answerHead form.Digest
	declared   int64 // Content-Length of the answer, -1 if it has none
	announced  []string
	trailers   form.Digest
	hijacked   bool
	broken     bool
}

func newAttempt(id, nonce string, began time.Time, r *http.Request) *attempt {
	a := &attempt{
		id: id, nonce: nonce, began: began, request: r, declared: -1,
		head: form.RequestHead(r.Method, r.RequestURI, r.Header), trailing: len(r.Trailer) > 0,
	}
	a.body.sum, a.answer.sum = sha256.New(), sha256.New()
	if r.Body == nil || r.Body == http.NoBody {
		a.body.ended = true
	} else {
		r.Body = &body{r.Body, &a.body}
	}
	return a
}

// half is one direction. Its bytes may pass in another goroutine than the rest.
type half struct {
	mu     sync.Mutex
	sum    hash.Hash
	size   int64
	ended  bool // there is no more
	failed bool
	closed bool // the receipt is being written; nothing counts any more
}

// add counts bytes, and hashes them unless they are no answer.
func (h *half) add(p []byte, hashed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	if hashed {
		h.sum.Write(p)
	}
	h.size += int64(len(p))
}

// note keeps how a direction ended.
func (h *half) note(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed || err == nil:
	case err == io.EOF:
		h.ended = true
	default:
		h.failed = true
	}
}

// close returns what passed.
func (h *half) close() (sum form.Digest, size int64, ended, failed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	return form.Digest(h.sum.Sum(nil)), h.size, h.ended, h.failed
}

// body is read by the handler, and by whoever reads what it left.
type body struct {
	io.ReadCloser
	half *half
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.half.add(p[:n], true)
	b.half.note(err)
	return n, err
}

// begin notes the head of the answer. Only the first one is sent.
func (a *attempt) begin(status int, h http.Header) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.status != 0 {
		return
	}
	a.status, a.answerHead = status, form.ResponseHead(status, h)
	if a.caller == "" {
		return
	}
	h[IDHeader] = []string{a.id} // an app or a handler cannot change it
	if n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64); err == nil {
		a.declared = n
	} else if a.hasBody() {
		h.Add("Trailer", Header)
	}
	a.announced = h["Trailer"]
}

// hasBody says whether bytes can follow the head of the answer (RFC 9110, 6.4.1).
func (a *attempt) hasBody() bool {
	return a.request.Method != http.MethodHead && a.status >= 200 && a.status != http.StatusNoContent && a.status != http.StatusNotModified
}

// finish closes both directions. An answer that nobody began is an empty one.
func (a *attempt) finish(h http.Header, broken bool) {
	if !broken && !a.isHijacked() {
		a.begin(http.StatusOK, h)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.broken = broken
	a.trailers = form.Trailers(sentTrailers(h, a.announced))
}

func (a *attempt) isHijacked() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.hijacked
}

// sentTrailers are those that net/http sends: the ones that were announced, and
// those whose name has the prefix.
func sentTrailers(h http.Header, announced []string) http.Header {
	out := http.Header{}
	for _, list := range announced {
		for name := range strings.SplitSeq(list, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if values := h[name]; len(values) > 0 {
				out[name] = values
			}
		}
	}
	for name, values := range h {
		if rest, found := strings.CutPrefix(name, http.TrailerPrefix); found {
			out[http.CanonicalHeaderKey(rest)] = append(out[http.CanonicalHeaderKey(rest)], values...)
		}
	}
	return out
}

// fill puts into a receipt what passed, after finish.
func (a *attempt) fill(r *form.Receipt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.serves != nil {
		r.Serves = a.serves
	}
	r.ID, r.Nonce, r.Began = a.id, a.nonce, form.At(a.began)
	r.Caller, r.Decision, r.Audit = a.caller, a.decision, a.position
	r.Request = form.Message{Head: a.head}
	r.Response = form.Message{Head: a.answerHead, Status: a.status}
	if a.status == 0 {
		r.Response.Head = form.ResponseHead(0, nil)
	}
	var ended, failed bool
	r.Request.Body, r.Request.Bytes, ended, failed = a.body.close()
	// Without the end there are no trailers yet, and whoever reads on may write them this
	// very moment.
	whole := ended || a.request.ContentLength >= 0 && r.Request.Bytes == a.request.ContentLength && !a.trailing
	r.Request.Complete = whole && !failed && !a.hijacked
	if r.Request.Complete && ended {
		r.Request.Trailers = form.Trailers(a.request.Trailer)
	}
	r.Response.Body, r.Response.Bytes, _, failed = a.answer.close()
	r.Outcome = form.Complete
	switch {
	case a.hijacked:
		r.Outcome = form.Upgraded
	case a.broken || failed || a.hasBody() && a.declared >= 0 && a.declared != r.Response.Bytes:
		r.Outcome = form.Incomplete
	default:
		r.Response.Complete, r.Response.Trailers = true, a.trailers
	}
}
