package box

import (
	"context"
	"encoding/hex"
	"errors"
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

// records are what has to hold after the connections are gone: receipts, the audit
// log, and what the app prints, if it is sealed to somebody. One key signs them, and
// the hardware vouches for it.
type records struct {
	cfg      signing.Config
	key      atomic.Pointer[signing.Key]
	made     atomic.Pointer[time.Time] // when the key was, by a clock that nobody sets
	ring     *audit.Ring
	kept     *outside  // where the host keeps the audit log; nil if it does not
	file     *appended // the log itself
	log      *audit.Log
	sealed   *sealed // nil unless the policy has them
	receipts *receipt.Service
}

// Times and sizes of records.
const (
	ringSize     = 1 << 20          // of the audit log that is kept in memory
	renewRetry   = time.Minute      // before the hardware is asked for a key again
	renewLook    = time.Minute      // for a look whether the clock was set meanwhile
	watchEvery   = time.Second      // for a look at what the host does not take
	recordsGrace = 10 * time.Second // for what is outside to take the end of the logs
)

// places are where the host takes what the policy lets out, and nothing else.
func (b *Box) places() error {
	to, sealing := b.policy.Logs.Recipient()
	keeping := b.policy.Audit == policy.AuditHost
	switch {
	case sealing && b.cfg.Logs == "":
		return fmt.Errorf("box: the policy has sealed logs (line %d), and there is no folder for them; nothing was started: name one (boxd --logs FOLDER)", b.policy.Line("logs"))
	case !sealing && b.cfg.Logs != "":
		return errors.New("box: there is a folder for logs, and the policy has none that are sealed; nothing was started")
	case keeping && b.cfg.Audit == "":
		return fmt.Errorf("box: the host is to keep the audit log (line %d of the policy), and there is no folder for it; nothing was started: name one (boxd --audit FOLDER)", b.policy.Line("audit"))
	case !keeping && b.cfg.Audit != "":
		return errors.New("box: there is a folder for the audit log, and the policy does not give it to the host; nothing was started: leave the folder out, or write audit: host into the policy")
	case !sealing:
		return nil
	}
	var err error
	if b.sealed, err = newSealed(to, b.cfg.Logs); err != nil {
		return fmt.Errorf("box: %w", err)
	}
	return nil
}

// record makes the key and all that it signs. The hardware is asked for evidence
// here: a box that cannot prove itself ends at its start and not at its first caller.
func (b *Box) record(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, selfTestLimit)
	defer cancel()
	r := &records{
		cfg:  signing.Config{Attester: b.cfg.Attester, Policy: b.policy.Bytes(), Now: time.Now, Life: b.keyLife},
		ring: audit.NewRing(ringSize), sealed: b.sealed,
	}
	made := time.Now()
	r.made.Store(&made)
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
	if err := r.begin(key, b.cfg.Audit, callerNames(b.policy)); err != nil {
		return errors.Join(err, r.close())
	}
	b.records = r
	return nil
}

// begin opens the logs.
func (r *records) begin(key *signing.Key, dir string, callers []string) error {
	state, err := r.resume(dir)
	if err != nil {
		return err
	}
	r.ring.After(state)
	r.log, err = audit.New(audit.Config{Key: key, Callers: callers, Sink: r, Now: time.Now}, state)
	if err != nil {
		return err
	}
	return errors.Join(r.showKey(key), r.sealed.rekey(key))
}

// resume reads what the host kept of the runs before, and says where the log goes on.
func (r *records) resume(dir string) (audit.State, error) {
	if dir == "" {
		return audit.First(), nil
	}
	var err error
	if r.kept, err = openOutside(dir); err != nil {
		return audit.State{}, fmt.Errorf("audit log: %w", err)
	}
	file, old, err := r.kept.append(auditFile)
	if err != nil {
		return audit.State{}, fmt.Errorf("audit log: %w", err)
	}
	r.file = file
	if old == nil {
		return audit.First(), nil
	}
	return audit.Resume(old)
}

// Names of files in the folder of the audit log.
const auditFile = "audit.log"

// bundleName is the beginning of the key's hash, as the logs have it.
func bundleName(key *signing.Key) string {
	id := key.Signer().KeyID()
	return hex.EncodeToString(id[:8]) + ".bundle"
}

// showKey puts the evidence for a key beside what it signs.
func (r *records) showKey(key *signing.Key) error {
	if r.kept == nil {
		return nil
	}
	return r.kept.put(bundleName(key), key.Bundle())
}

// Write is the audit log's sink: the host's file, if there is one, and the memory.
// What the host did not take is not shown to others either.
func (r *records) Write(p []byte) (int, error) {
	if r.file != nil {
		if n, err := r.file.Write(p); err != nil {
			return n, err
		}
	}
	return r.ring.Write(p)
}

// watch returns when something that must be written down cannot be, or ctx ends.
func (r *records) watch(ctx context.Context) error {
	var keeping, sealing outside // never fail
	kept, logs := &keeping, &sealing
	if r.kept != nil {
		kept = r.kept
	}
	if r.sealed != nil {
		logs = r.sealed.out
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-kept.failed:
			return fmt.Errorf("the audit log cannot be written: %w", err)
		case err := <-logs.failed:
			return fmt.Errorf("the sealed log cannot be written: %w", err)
		case now := <-tick.C:
			if err := errors.Join(kept.late(now), logs.late(now)); err != nil {
				return fmt.Errorf("the audit log or the sealed log cannot be written: %w", err)
			}
		}
	}
}

// renew makes another key long before the evidence for this one ends, and returns
// when ctx ends, or with an error when there is no key that may sign.
func (r *records) renew(ctx context.Context) error {
	wait := r.untilRenewal()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(min(wait, renewLook)):
		}
		if wait > renewLook {
			wait = r.untilRenewal()
			continue
		}
		err := r.rekey(ctx)
		left := r.left()
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

// left is for how long the key may sign. The host sets the clock that others read, so
// that the box counts as well: a clock that is set back makes no key live longer, and
// one that is set forward, or that ran on while the machine slept, is noticed soon.
func (r *records) left() time.Duration {
	return min(time.Until(r.key.Load().Until()), r.cfg.Life-time.Since(*r.made.Load()))
}

// untilRenewal leaves a third of the key's life for the hardware to answer.
func (r *records) untilRenewal() time.Duration { return r.left() - r.cfg.Life/3 }

func (r *records) rekey(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, selfTestLimit)
	defer cancel()
	made := time.Now()
	key, err := signing.New(ctx, r.cfg)
	if err != nil {
		return err
	}
	if err := r.log.Rekey(key); err != nil {
		return err
	}
	if err := errors.Join(r.receipts.Rekey(key), r.showKey(key), r.sealed.rekey(key)); err != nil {
		return err
	}
	r.key.Store(key)
	r.made.Store(&made)
	return nil
}

// close ends the logs in order.
func (r *records) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), recordsGrace)
	defer cancel()
	all := []error{r.sealed.close()}
	if r.log != nil {
		all = append(all, r.log.Close(ctx))
	}
	if r.file != nil {
		all = append(all, r.file.Sync(), r.file.Close())
	}
	if r.kept != nil {
		all = append(all, r.kept.root.Close())
	}
	return errors.Join(all...)
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
	if len(out) > form.MaxArtifacts {
		return nil // the policy names them, and its digest is in the receipt
	}
	return out
}

// callerNames are all that the audit log may name.
func callerNames(p *policy.Policy) []string {
	var out []string
	for _, c := range p.Callers {
		out = append(out, c.Name)
	}
	for _, o := range p.Operators {
		out = append(out, o.Name)
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
