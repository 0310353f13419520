package box

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/blindbox/blindbox/box/audit"
	"github.com/blindbox/blindbox/box/receipt"
	"github.com/blindbox/blindbox/box/signing"
	"github.com/blindbox/blindbox/policy"
	form "github.com/blindbox/blindbox/receipt"
)

// records are what has to hold after the connections are gone: receipts and the
// audit log. One key signs them, and the hardware vouches for it.
type records struct {
	cfg      signing.Config
	key      atomic.Pointer[signing.Key]
	ring     *audit.Ring
	log      *audit.Log
	receipts *receipt.Service
}

// Times and sizes of records.
const (
	ringSize     = 1 << 20          // of the audit log that is kept in memory
	renewRetry   = time.Minute      // before the hardware is asked for a key again
	recordsGrace = 10 * time.Second // for what is outside to take the end of the logs
)

// record makes the key and all that it signs. The hardware is asked for evidence
// here: a box that cannot prove itself ends at its start and not at its first caller.
func (b *Box) record(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, selfTestLimit)
	defer cancel()
	r := &records{
		cfg:  signing.Config{Attester: b.cfg.Attester, Policy: b.policy.Bytes(), Now: time.Now, Life: b.keyLife},
		ring: audit.NewRing(ringSize),
	}
	key, err := signing.New(ctx, r.cfg)
	if err != nil {
		return err
	}
	r.key.Store(key)
	r.cfg.Boot = key.Box().Boot
	r.receipts, err = receipt.New(receipt.Config{Key: key, Now: time.Now, Serves: artifacts(b.policy), Egress: b.flows()})
	if err != nil {
		return err
	}
	r.log, err = audit.New(audit.Config{Key: key, Callers: callerNames(b.policy), Sink: r.ring, Now: time.Now}, audit.First())
	if err != nil {
		return err
	}
	b.records = r
	return nil
}

// renew makes another key long before the evidence for this one ends, and returns
// when ctx ends, or with an error when there is no key that may sign.
func (r *records) renew(ctx context.Context) error {
	wait := r.untilRenewal()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		err := r.rekey(ctx)
		left := time.Until(r.key.Load().Until())
		switch {
		case err == nil:
			wait = r.untilRenewal()
		case ctx.Err() != nil:
			return nil
		case left <= 0:
			return fmt.Errorf("no key that may sign receipts and logs: %w", err)
		default:
			wait = min(left, renewRetry)
		}
	}
}

// untilRenewal leaves a third of the key's life for the hardware to answer.
func (r *records) untilRenewal() time.Duration {
	return time.Until(r.key.Load().Until().Add(-r.cfg.Life / 3))
}

func (r *records) rekey(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, selfTestLimit)
	defer cancel()
	key, err := signing.New(ctx, r.cfg)
	if err != nil {
		return err
	}
	if err := r.log.Rekey(key); err != nil {
		return err
	}
	r.key.Store(key)
	return r.receipts.Rekey(key)
}

// close ends the logs in order.
func (r *records) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), recordsGrace)
	defer cancel()
	return r.log.Close(ctx)
}

// artifacts are what answers in the box, as its policy names it.
func artifacts(p *policy.Policy) []form.Artifact {
	if p.App != nil {
		out := []form.Artifact{{Kind: "app", Name: p.Name, Digest: p.App.Digest}}
		for _, s := range p.Services {
			out = append(out, form.Artifact{Kind: "service", Name: s.Name, Digest: s.Digest})
		}
		return out
	}
	var out []form.Artifact
	for _, m := range p.Models {
		out = append(out, form.Artifact{Kind: "model", Name: m.Name, Digest: m.SHA256})
	}
	return out
}

func callerNames(p *policy.Policy) []string {
	var out []string
	for _, c := range p.Callers {
		out = append(out, c.Name)
	}
	return out
}

// flows is what tells receipts what has left the box; nil if nobody watches, as with
// an app without a network of its own. Models connect to nothing.
func (b *Box) flows() func() []form.Flow {
	c, contained := b.app.(*container)
	switch {
	case contained:
		return c.flows
	case b.policy.App == nil:
		return func() []form.Flow { return nil }
	}
	return nil
}

// flows sums up for each line of the policy. What was refused by no line is under
// line 0: where to, the app may have made up.
func (c *container) flows() []form.Flow {
	sums := c.proxy.Passed()
	out := make([]form.Flow, len(sums.Destinations), len(sums.Destinations)+1)
	other := form.Flow{To: "elsewhere"}
	for _, n := range sums.Refused {
		other.Refused += n
	}
	for i, d := range sums.Destinations {
		f := form.Flow{
			To: d.Host + ":" + strconv.Itoa(int(d.Port)), Line: c.policy.Egress.Allow[i].Line,
			Opened: d.Connections, Sent: d.Sent, Received: d.Received,
		}
		for _, n := range d.Refused {
			f.Refused += n
		}
		other.Refused -= f.Refused
		out[i] = f
	}
	return append(out, other)
}
