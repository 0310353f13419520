package attest

import (
	"encoding/hex"
	"fmt"
	"time"
)

// Expected is what a relying party knows about the connection it is on. Every
// field must be set; the ones that may be absent from a Statement (HPKE, the
// attestation key) are compared even if zero.
type Expected struct {
	Purpose        Purpose
	Role           Role
	Nonce          [32]byte
	SPKI           Digest
	HPKE           Digest
	AttestationKey Digest
	Exporter       [32]byte
	Policy         Digest
	// At is the relying party's time, Skew how far the two clocks may differ.
	At   time.Time
	Skew time.Duration
}

// Compare checks every field of a Statement against what was expected and
// returns one Check each, in the group "channel". It does not stop at the
// first difference, and it says nothing about who signed the Statement.
func (s Statement) Compare(want Expected) []Check {
	return []Check{
		compare("channel.purpose", CodePurposeMismatch, s.Purpose.String(), want.Purpose.String()),
		compare("channel.role", CodeRoleMismatch, s.Role.String(), want.Role.String()),
		compareBytes("channel.nonce", CodeNonceMismatch, s.Nonce[:], want.Nonce[:]),
		compareBytes("channel.tls_key", CodeKeyMismatch, s.SPKI[:], want.SPKI[:]),
		compareBytes("channel.tls_exporter", CodeChannelMismatch, s.Exporter[:], want.Exporter[:]),
		compareBytes("channel.hpke_key", CodeKeyMismatch, s.HPKE[:], want.HPKE[:]),
		compareBytes("channel.attestation_key", CodeKeyMismatch, s.AttestationKey[:], want.AttestationKey[:]),
		compareBytes("channel.policy", CodePolicyMismatch, s.Policy[:], want.Policy[:]),
		s.compareTime(want.At, want.Skew),
	}
}

// clockGap is the difference from which we blame a clock rather than age: no
// box makes statements that live anywhere near this long.
const clockGap = 12 * time.Hour

func (s Statement) compareTime(at time.Time, skew time.Duration) Check {
	c := Check{
		Name:     "channel.time",
		Seen:     s.NotBefore.Format(time.RFC3339) + " to " + s.NotAfter.Format(time.RFC3339),
		Expected: fmt.Sprintf("to contain %s, give or take %s", at.UTC().Format(time.RFC3339), skew),
	}
	early, late := s.NotBefore.Sub(at), at.Sub(s.NotAfter)
	switch {
	case early > clockGap || late > clockGap: // the zero time is too
		c.Code = CodeClock
	case early > skew || late > skew:
		c.Code = CodeStaleEvidence
	default:
		c.Status = Pass
	}
	return c
}

func compare(name string, code Code, seen, want string) Check {
	if seen == want {
		return Check{Name: name, Status: Pass, Seen: seen, Expected: want}
	}
	return Check{Name: name, Code: code, Seen: seen, Expected: want}
}

func compareBytes(name string, code Code, seen, want []byte) Check {
	return compare(name, code, hex.EncodeToString(seen), hex.EncodeToString(want))
}
