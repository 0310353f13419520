package policy

// compiled is the policy's rules in the form that decides.
type compiled struct{}
