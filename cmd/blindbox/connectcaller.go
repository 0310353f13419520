package main

import (
	"time"

	"github.com/blindbox/blindbox/policy"
)

// callerDocument is what the box's policy lets the user of this command do, as it
// is known before anything is sent: from the policy and the hash of the key.
type callerDocument struct {
	Name    string          `json:"name,omitempty"`
	Kind    string          `json:"kind,omitempty"`
	Line    int             `json:"line,omitempty"`
	May     []policy.Action `json:"may"`
	Methods []string        `json:"methods,omitempty"`
	Paths   []string        `json:"paths,omitempty"`
	Models  []string        `json:"models,omitempty"`
	Expires *time.Time      `json:"expires,omitempty"`
	Text    string          `json:"text"`
}

// callerOf finds the caller that the box will take the user for: the one with the
// key, or else the one that needs none. It asks the code that decides in the box,
// about the policy that was verified.
func callerOf(p *policy.Policy, key string, now time.Time) callerDocument {
	c, known := p.Authenticate(key)
	note := ""
	if !known {
		if c, known = p.Anyone(); known && key != "" {
			note = " The box's policy does not have your API key: it makes no difference."
		}
	}
	switch {
	case !known && key != "":
		return nobody("The box's policy does not have your API key: every request will be refused.")
	case !known:
		return nobody("You have no API key: requests without a token or certificate that the policy knows will be refused.")
	case c.Expired(now):
		return nobody("The box's policy knew you until " + c.Expires.UTC().Format(time.RFC3339) + ": every request will be refused.")
	}
	may, _ := p.MayDo(c.Name)
	out := callerDocument{
		Name: may.Caller, Kind: may.Kind, Line: may.Line, May: append([]policy.Action{}, may.May...),
		Methods: may.Methods, Paths: may.Paths, Models: may.Models, Text: may.String() + note,
	}
	if !may.Expires.IsZero() {
		out.Expires = &may.Expires
	}
	return out
}

func nobody(why string) callerDocument { return callerDocument{May: []policy.Action{}, Text: why} }
