package callers

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// Refusal is why nobody is known to send a request. It holds nothing of the
// request.
type Refusal struct {
	// Status is 400, 401 or 503.
	Status int
	// Detail is a sentence, and Fix says what to do.
	Detail, Fix string
	// Challenge is for WWW-Authenticate (RFC 6750, section 3); "" for none.
	Challenge string
	// Line is the line of the policy that decided; 0 if none speaks of it.
	Line int
}

const realm = `Bearer realm="blindbox"`

const sendKey = "Send a key in the header Authorization: Bearer KEY, or Blindbox-Key: KEY. Keys of fewer than %d characters are never accepted."

func twice() *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Detail: "A header that says who is calling is there twice.", Fix: "Send it once."}
}

func unknown(detail string) *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Detail: detail, Fix: fmt.Sprintf(sendKey, policy.MinKey), Challenge: realm}
}

func expired(c *policy.Caller) *Refusal {
	return &Refusal{
		Status: http.StatusUnauthorized, Line: c.Line, Challenge: realm + `, error="invalid_token"`,
		Detail: fmt.Sprintf("The policy knows this caller only until %s.", c.Expires.UTC().Format(time.RFC3339)),
		Fix:    "Have the operator publish a policy with a new key or a later date. It cannot be changed in a running box.",
	}
}

func badToken(why string) *Refusal {
	return &Refusal{
		Status: http.StatusUnauthorized, Challenge: realm + `, error="invalid_token"`,
		Detail: "The token is not accepted: " + why + ".",
		Fix:    "Get a new token for this box from the identity provider that the policy names.",
	}
}

func badCertificate(why string) *Refusal {
	return &Refusal{
		Status: http.StatusUnauthorized, Challenge: realm,
		Detail: "The TLS client certificate is not accepted: " + why + ".",
		Fix:    "Send a certificate for client authentication that the authority in the policy has issued, with the whole chain and the authority's own certificate.",
	}
}

func noKeys(issuer, why string) *Refusal {
	return &Refusal{
		Status: http.StatusServiceUnavailable,
		Detail: "The keys of " + issuer + " cannot be had, so that no token of it can be accepted: " + why + ".",
		Fix:    "Try again in a moment. If it stays like this, the identity provider does not answer, or the box cannot reach it.",
	}
}

// sortBySpecific puts the callers first that ask for more; those that ask for the
// same stay in the order of the policy.
func sortBySpecific(list []*policy.Caller, asked func(*policy.Caller) int) {
	slices.SortStableFunc(list, func(a, b *policy.Caller) int { return asked(b) - asked(a) })
}
