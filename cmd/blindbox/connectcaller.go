package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
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
	return callerNamed(p, c.Name, note)
}

// callerNamed says what the policy lets that caller do.
func callerNamed(p *policy.Policy, name, note string) callerDocument {
	may, known := p.MayDo(name)
	if !known {
		return nobody("The box takes you for a caller that its policy does not have.")
	}
	out := callerDocument{
		Name: may.Caller, Kind: may.Kind, Line: may.Line, May: append([]policy.Action{}, may.May...),
		Methods: may.Methods, Paths: may.Paths, Models: may.Models, Text: may.String() + note,
	}
	if !may.Expires.IsZero() {
		out.Expires = &may.Expires
	}
	return out
}

// callerByCertificate asks the box, which was verified, who it takes the user for: who
// a certificate is cannot be told from the policy alone. What that caller may do is
// read in the policy that was verified.
func callerByCertificate(ctx context.Context, box http.RoundTripper, u *url.URL, p *policy.Policy) callerDocument {
	const most, atMost = 64 << 10, 15 * time.Second
	untold := nobody("You show a certificate: the box says, with each answer, whether it knows you by it.")
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	at := url.URL{Scheme: u.Scheme, Host: u.Host, Path: policy.ReservedPrefix + "/me"}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return untold
	}
	res, err := box.RoundTrip(req)
	if err != nil {
		return untold
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, most))
	var me struct {
		Caller string `json:"caller"`
	}
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		return nobody("The box's policy knows nobody by your certificate: every request without a token that it knows will be refused.")
	case err != nil || res.StatusCode != http.StatusOK || json.Unmarshal(text, &me) != nil:
		return untold
	}
	return callerNamed(p, me.Caller, "")
}

func nobody(why string) callerDocument { return callerDocument{May: []policy.Action{}, Text: why} }
