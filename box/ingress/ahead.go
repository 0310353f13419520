package ingress

import (
	"bytes"
	"errors"
	"net/http"
	"time"

	"github.com/blindbox/blindbox/box/quota"
	"github.com/blindbox/blindbox/internal/bodies"
	"github.com/blindbox/blindbox/policy"
)

// aheadFor is how long the whole body of a request may take that is read before it is
// decided about, where the policy has no limits.time.
const aheadFor = 30 * time.Second

// serveAhead answers a request whose model stands in its body, or returns why not. The
// body is read into memory before anything is decided, so whatever can be decided
// without it comes first: that no model would be allowed, that the body says itself that
// it is too long, that there is no place for it, or that the caller has nothing left.
// What is in memory is so never more than limits.request for each place, and all of it
// together no more than the box has for bodies.
func (h *Handler) serveAhead(a *answer, r *http.Request, q policy.Request, caller *policy.Caller, account *quota.Account) *problem {
	if !h.cfg.Policy.Foresees(q) {
		return h.refuse(a, q, denied(h.cfg.Policy.Decide(q)))
	}
	p, leave := h.room(r, q)
	if p != nil {
		return h.refuse(a, q, p)
	}
	defer leave()
	if spent := account.Spent(); spent != nil {
		return h.refuse(a, q, usedUp(spent, caller.Line))
	}
	r, cut, end := h.begin(a, r, q.Action, account)
	defer end()
	text, free, p := h.readAhead(a, r, q.Caller, cut)
	defer free()
	if p != nil {
		return h.refuse(a, q, p)
	}
	model, err := h.cfg.Model(q.Caller, r, text)
	if err != nil {
		return h.refuse(a, q, unnamed(err))
	}
	q.Model = model.Name
	d := h.cfg.Policy.Decide(q)
	if !d.Allowed {
		return h.refuse(a, q, denied(d))
	}
	if spent := account.Admit(); spent != nil {
		return h.refuse(a, q, usedUp(spent, d.Line))
	}
	h.serves(a, q, d, model)
	r.Body, r.ContentLength = &ahead{*bytes.NewReader(text), text}, int64(len(text))
	h.pass(a, r, q, model)
	return nil
}

// unnamed says why a body does not show the model that it is for.
func unnamed(err error) *problem {
	var moment interface{ Later() bool }
	if errors.As(err, &moment) && moment.Later() {
		return unread()
	}
	return unreadable(sentence(err), modelFix)
}

// sentence is what an error says, for people.
func sentence(err error) string { return "Refused because " + err.Error() + "." }

// readAhead reads the whole body, which counts until free is called.
func (h *Handler) readAhead(a *answer, r *http.Request, caller string, cut func()) (text []byte, free func(), p *problem) {
	if a.body == nil {
		return nil, func() {}, nil
	}
	if h.cfg.Policy.Limits.Time == 0 {
		total := startWatch(h.aheadFor, cut)
		defer total.stop()
	}
	most := a.body.limit
	if r.ContentLength >= 0 {
		most = min(most, r.ContentLength)
	}
	text, free, err := h.cfg.Bodies.ReadAll(caller, a.body, most)
	switch {
	case a.body.over.Load():
		p = tooLarge(a.body.limit)
	case a.body.spent.Load():
		p = usedUp(&quota.Spent{What: "quota of bytes"}, 0)
	case a.late.Load() || a.cut.Load():
		p = unreadable("Its body did not come in time, and had to be read before it could be decided about.",
			"Send it faster, or less; `limits: {time: DURATION}` of the policy says for how long the box waits.")
	case errors.Is(err, bodies.ErrFull):
		p = crowded()
	case err != nil:
		p = unreadable("Its body ended early.", "Send all of it, as many bytes as Content-Length says.")
	}
	return text, free, p
}

// ahead is a body that was read before it was decided about. What answers may take it as
// it is, by Bytes, and must not change it.
type ahead struct {
	bytes.Reader
	text []byte
}

func (b *ahead) Bytes() []byte { return b.text }
func (b *ahead) Close() error  { return nil }
