// Package receipt makes a receipt for a request that asked for one. It answers one
// question: which bytes went in, which came out, and what did the box do meanwhile?
//
// A caller asks with the header Blindbox-Receipt: 1, or with a nonce of its own in
// place of the 1. The answer carries the header Blindbox-Receipt-Id at once. The
// receipt itself is known only when the answer has ended: it comes as the trailer
// Blindbox-Receipt where the protocol has trailers, and is kept for a while under
// its id, for the same caller only.
//
//	rec := service.Begin(w, r)
//	defer rec.End()
//	position := log.Decided(...)
//	rec.Decided(caller, decision, position)
//	next.ServeHTTP(rec.Writer(), rec.Request())
//
// A [Recorder] hashes what passes and holds none of it. What breaks off gets a
// receipt too, which says "incomplete". The form is package receipt's at the root
// of the repository, where verifiers find it.
//
// The package stands inside the box, between the callers and everything else.
package receipt

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/blindbox/blindbox/box/signing"
	"github.com/blindbox/blindbox/internal/jws"
	form "github.com/blindbox/blindbox/receipt"
)

// Header asks for a receipt, and is the trailer that brings it. IDHeader says in
// the answer under which id it will be kept.
const (
	Header   = "Blindbox-Receipt"
	IDHeader = "Blindbox-Receipt-Id"
)

// Key signs receipts and says for which box. *signing.Key is one.
type Key interface {
	Signer() *jws.Signer
	Box() form.Box
	Until() time.Time
}

// Config is what a Service is made of. Key and Now are required.
type Config struct {
	Key Key
	Now func() time.Time
	// Serves is what answers in this box: its app, or its models.
	Serves []form.Artifact
	// Egress returns what has left the box since it started, a sum for each line of
	// the policy. nil: nobody watches, and receipts say so.
	Egress func() []form.Flow
	// Keep is how many receipts are kept for each caller, 64 if zero; KeepFor for
	// how long, an hour if zero.
	Keep    int
	KeepFor time.Duration
}

// Defaults of a Config.
const (
	DefaultKeep    = 64
	DefaultKeepFor = time.Hour
)

// Service makes receipts. It is safe for concurrent use.
type Service struct {
	cfg   Config
	key   atomic.Pointer[Key]
	kept  *store
	began atomic.Uint64 // requests since the start
	ended atomic.Uint64
}

// New returns a Service.
func New(cfg Config) (*Service, error) {
	switch {
	case cfg.Key == nil || cfg.Key.Signer() == nil:
		return nil, errors.New("receipt: no key")
	case cfg.Now == nil:
		return nil, errors.New("receipt: no clock")
	case cfg.Keep < 0 || cfg.KeepFor < 0:
		return nil, fmt.Errorf("receipt: %d receipts kept for %s", cfg.Keep, cfg.KeepFor)
	case len(cfg.Serves) > form.MaxArtifacts:
		return nil, fmt.Errorf("receipt: %d artifacts, limit %d", len(cfg.Serves), form.MaxArtifacts)
	}
	if cfg.Keep == 0 {
		cfg.Keep = DefaultKeep
	}
	if cfg.KeepFor == 0 {
		cfg.KeepFor = DefaultKeepFor
	}
	s := &Service{cfg: cfg, kept: newStore(cfg.Keep, cfg.KeepFor)}
	s.key.Store(&cfg.Key)
	return s, nil
}

// Rekey signs with another key from now on.
func (s *Service) Rekey(k Key) error {
	if k == nil || k.Signer() == nil {
		return errors.New("receipt: no key")
	}
	s.key.Store(&k)
	return nil
}

// Get returns a receipt that was made for this caller and is still kept.
func (s *Service) Get(caller, id string) (string, bool) {
	return s.kept.get(caller, id, s.cfg.Now())
}

// Begin starts to watch a request. It must be called for every request, whether it
// asks for a receipt or not, and the Recorder ended: a receipt says whether other
// requests ran meanwhile. A Service that is nil watches nothing.
func (s *Service) Begin(w http.ResponseWriter, r *http.Request) Recorder {
	if s == nil {
		return Recorder{writer: w, request: r}
	}
	before := s.began.Add(1)
	rec := Recorder{service: s, writer: w, request: r}
	nonce, wanted := asked(r.Header)
	if !wanted {
		return rec
	}
	a := newAttempt(signing.RandomID(), nonce, s.cfg.Now(), r)
	a.begun, a.alone = before, before == s.ended.Load()+1
	if s.cfg.Egress != nil {
		a.flows = s.cfg.Egress()
	}
	rec.attempt = a
	rec.writer = &writer{ResponseWriter: w, attempt: a}
	return rec
}

// asked says whether a request wants a receipt, and with which nonce. Anything but
// one 1 or one nonce is as if it had not asked.
func asked(h http.Header) (nonce string, wanted bool) {
	values := h[Header]
	switch {
	case len(values) != 1:
		return "", false
	case values[0] == "1":
		return "", true
	}
	return values[0], form.ValidNonce(values[0])
}

// write signs the receipt of an attempt.
func (s *Service) write(a *attempt) (string, error) {
	key := *s.key.Load()
	now := s.cfg.Now()
	if now.After(key.Until()) {
		return "", fmt.Errorf("receipt: the key may sign until %s only", key.Until().Format(time.RFC3339))
	}
	r := form.Receipt{Version: 1, Ended: form.At(now), Box: key.Box(), Serves: s.cfg.Serves}
	a.fill(&r)
	if s.cfg.Egress != nil {
		r.Egress = egress(a.flows, s.cfg.Egress())
		r.Egress.Shared = !a.alone || s.began.Load() != a.begun
	}
	return form.Sign(key.Signer(), r)
}

// egress is what came on top between two sums.
func egress(before, after []form.Flow) form.Egress {
	e := form.Egress{Observed: true}
	for _, f := range after {
		i := slices.IndexFunc(before, func(b form.Flow) bool { return b.To == f.To && b.Line == f.Line })
		if i >= 0 {
			b := before[i]
			f.Opened, f.Sent = max(f.Opened-b.Opened, 0), max(f.Sent-b.Sent, 0)
			f.Received, f.Refused = max(f.Received-b.Received, 0), max(f.Refused-b.Refused, 0)
		}
		switch {
		case f.Opened == 0 && f.Sent == 0 && f.Received == 0 && f.Refused == 0:
		case len(e.Flows) == form.MaxFlows:
			e.More++
		default:
			e.Flows = append(e.Flows, f)
		}
	}
	return e
}
