package client

import "github.com/blindbox/blindbox/attest"

// UseVerifier replaces a Verifier, for a vendor whose root no trust file names.
func (c *Client) UseVerifier(v attest.Verifier) { c.engine.Load().verifiers[v.Kind()] = v }
