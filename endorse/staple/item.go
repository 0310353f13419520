package staple

import (
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/endorse/fetch"
	"github.com/blindbox/blindbox/endorse/freshness"
	"github.com/blindbox/blindbox/endorse/source"
)

// item is one object that the evidence needs, there or not.
type item struct {
	object   source.Object
	first    chan struct{} // closed when it was asked for once
	used     time.Time     // when evidence last needed it
	due      time.Time     // when it is to be asked for again; zero means at once
	failures int           // since the last success
	denied   bool          // the vendor says that there is none
	answer   fetch.Answer
	facts    freshness.Facts
}

// asked reports whether it was asked for, with or without success.
func (it *item) asked() bool {
	select {
	case <-it.first:
		return true
	default:
		return false
	}
}

// done notes that it was asked for.
func (it *item) done() {
	if !it.asked() {
		close(it.first)
	}
}

// endorsements returns what can be stapled. An object past its date is left
// out: to the relying party it is as good as none, and may look worse.
func (it *item) endorsements(now time.Time) attest.Endorsements {
	if it.answer.Data == nil || !it.inForce(now) {
		return nil
	}
	out := attest.Endorsements{{Label: it.object.Label(), Data: it.answer.Data}}
	// The TCB info and the QE identity are signed by one key: one chain serves both.
	if it.object.Form() == source.FormTCBInfo && len(it.answer.Chain) != 0 {
		out = append(out, attest.Endorsement{Label: attest.LabelIntelTCBChain, Data: it.answer.Chain})
	}
	return out
}

func (it *item) inForce(now time.Time) bool {
	return it.facts.Until.IsZero() || !now.After(it.facts.Until)
}

// Times between two fetches of one object.
const (
	longest      = 24 * time.Hour
	shortest     = time.Minute
	firstRetry   = time.Minute
	longestRetry = time.Hour
	share        = 4 // a fetch follows after this part of the time that is left
)

// next returns when to ask again after a success: a fraction of the time that is
// left, so that there are several attempts before the end. spread is from 0 to
// 1 and keeps boxes that started together apart.
func (it *item) next(now time.Time, spread float64) time.Time {
	if it.object.Immutable() {
		return now.Add(30 * longest)
	}
	wait := longest
	if !it.facts.Until.IsZero() {
		wait = min(wait, it.facts.Until.Sub(now)/share)
	}
	return now.Add(max(time.Duration(float64(wait)*(1-spread/4)), shortest))
}

// retry returns when to ask again after a failure.
func (it *item) retry(now time.Time, spread float64) time.Time {
	wait := min(firstRetry<<min(it.failures-1, 10), longestRetry)
	return now.Add(time.Duration(float64(wait) * (1 - spread/4)))
}
