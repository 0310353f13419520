package receipt

import (
	"net/http"

	form "github.com/blindbox/blindbox/receipt"
)

// maxTrailer is the longest receipt that is sent behind an answer. Readers of
// HTTP/1.1 take little there: Go's client no more than its buffer of 4 KiB. A longer
// one is kept under its id like any other.
const maxTrailer = 3 << 10

// Recorder stands around one request. If no receipt was asked for, it costs two
// atomic additions and passes everything on as it is.
type Recorder struct {
	service *Service
	writer  http.ResponseWriter
	request *http.Request
	attempt *attempt // nil if no receipt was asked for
}

// Writer is what the answer must be written to.
func (r *Recorder) Writer() http.ResponseWriter { return r.writer }

// Request is what must be read from.
func (r *Recorder) Request() *http.Request { return r.request }

// Decided notes who asks and what the policy says. Without it there is no receipt:
// one that names no caller is nobody's.
func (r *Recorder) Decided(caller string, d form.Decision, at form.Position) {
	a := r.attempt
	if a == nil || caller == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.caller, a.decision, a.position = caller, d, at
	r.writer.Header()[IDHeader] = []string{a.id}
}

// Serves notes which of what the box runs the request is for: the receipt names it
// alone. Without it the receipt names all that the box serves.
func (r *Recorder) Serves(one form.Artifact) {
	if r.attempt != nil {
		r.attempt.mu.Lock()
		defer r.attempt.mu.Unlock()
		r.attempt.serves = []form.Artifact{one}
	}
}

// Refused notes that the answer is the box's own, 403 for BBX-403.
func (r *Recorder) Refused(code int) {
	if r.attempt != nil {
		r.attempt.mu.Lock()
		defer r.attempt.mu.Unlock()
		r.attempt.decision.Code = code
	}
}

// End writes the receipt. It must be deferred itself, not called by something that
// is: it looks for the panic by which a broken answer ends, and passes it on.
func (r *Recorder) End() {
	if r.service == nil {
		return
	}
	broken := recover()
	defer func() {
		r.service.ended.Add(1)
		if broken != nil {
			panic(broken)
		}
	}()
	a := r.attempt
	if a == nil {
		return
	}
	a.finish(r.writer.Header(), broken != nil || r.request.Context().Err() != nil)
	if a.caller == "" {
		return
	}
	token, err := r.service.write(a)
	if err != nil {
		return // no receipt is better than a wrong one
	}
	r.service.kept.put(a.caller, a.id, token, r.service.cfg.Now())
	if !a.hijacked && broken == nil && len(token) <= maxTrailer {
		delete(r.writer.Header(), Header) // an app's own would come first
		// Where the protocol has no trailers, net/http drops it.
		r.writer.Header()[http.TrailerPrefix+Header] = []string{token}
	}
}
