// Package quota answers one question: has this caller used up what the policy
// gives it?
//
// A budget of N per time T means: in no stretch of the length T, wherever it
// begins, is more than N used. What was used comes free again T after it was
// used, so a caller that waits as long as it is told is admitted. Of budgets up
// to 500 this is exact. Larger ones remember when things were used to a 500th
// of T, and what was used comes free by that much later, never earlier.
//
// Time is the box's uptime and not the time of day: whoever sets the clock gains
// nothing. Budgets begin anew with the box, and whoever can start it anew can
// have them renewed. Memory is bounded by the policy: three logs of at most 8 KiB
// for each of its callers. All of `anyone` is one caller with one budget in
// total, since the box knows nothing by which to tell strangers apart.
//
// The package stands inside the box. It is asked after the policy has allowed a
// request, so strangers cannot use up what is others'.
package quota

import (
	"time"

	"github.com/blindbox/blindbox/policy"
)

// Meter keeps what every caller of a policy has used. It is safe for concurrent
// use.
type Meter struct {
	uptime   func() time.Duration
	accounts map[string]*Account // fixed; by name, which is unique in a policy
}

// New returns a Meter on which nothing was used. Uptime tells the time since
// some fixed moment and never goes back.
func New(p *policy.Policy, uptime func() time.Duration) *Meter {
	m := &Meter{uptime: uptime, accounts: make(map[string]*Account, len(p.Callers))}
	for i := range p.Callers {
		m.accounts[p.Callers[i].Name] = newAccount(&p.Callers[i], uptime)
	}
	return m
}

// Account returns what a caller has used, by its name. A caller that the policy
// does not have gets an account on which nothing is left.
func (m *Meter) Account(caller string) *Account {
	if a := m.accounts[caller]; a != nil {
		return a
	}
	return &Account{uptime: m.uptime, requests: []*window{newWindow(&policy.Budget{}, "requests")}}
}
