package connect

import (
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
)

// CodeWebPage is the catalogue's number for a request that the guard refused.
const CodeWebPage = "BBX-111"

// guard keeps web pages away. Whoever can send a request to the proxy can use
// the API key it adds, and every page that the user visits can send requests to
// 127.0.0.1. Three things give a page away: the Host it used (after DNS
// rebinding, its own name), the Origin header, and Sec-Fetch-Site, which
// browsers also send with the plain GETs that carry no Origin.
type guard struct{ origins []string }

func newGuard(origins []string) guard { return guard{slices.Clone(origins)} }

func (g guard) check(r *http.Request) (Problem, bool) {
	switch origin := r.Header["Origin"]; {
	case r.Method == http.MethodConnect || r.URL.Host != "" || r.URL.Scheme != "" || r.URL.Opaque != "":
		return webPage("this is not a forward proxy"), false
	case !loopbackHost(r.Host):
		return webPage("the request names host " + quote(r.Host) + ", expected a loopback name"), false
	case len(origin) > 1:
		return webPage("the request has several origins"), false
	case g.allowed(r) != "":
		return Problem{}, true
	case len(origin) == 1 && origin[0] != "http://"+r.Host:
		return webPage("the request comes from a page of origin " + quote(origin[0])), false
	}
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "", "none", "same-origin":
		return Problem{}, true
	default:
		return webPage("the request comes from a page of another site (" + quote(site) + ")"), false
	}
}

// allowed returns the origin of r if the user allowed it, or "".
func (g guard) allowed(r *http.Request) string {
	origin := r.Header.Get("Origin")
	if origin != "" && slices.Contains(g.origins, origin) {
		return origin
	}
	return ""
}

// loopbackHost reports whether a Host header names this machine by a name that
// no DNS server can give to another one.
func loopbackHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

// quote shortens a stranger's header for an answer.
func quote(s string) string {
	if len(s) > 100 {
		s = s[:100]
	}
	b, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(b)
}

func webPage(detail string) Problem {
	return Problem{
		Title:  "the local proxy does not answer web pages",
		Status: http.StatusForbidden,
		Code:   CodeWebPage,
		Detail: detail + "; nothing was forwarded",

		NothingSent: true,
	}
}

func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// answerPreflight lets a page of an allowed origin send any method and header
// (Fetch standard, CORS-preflight fetch). The box is not asked.
func answerPreflight(w http.ResponseWriter, r *http.Request, origin string) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Methods", r.Header.Get("Access-Control-Request-Method"))
	if names := r.Header.Get("Access-Control-Request-Headers"); names != "" {
		h.Set("Access-Control-Allow-Headers", names)
	}
	if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
		h.Set("Access-Control-Allow-Private-Network", "true")
	}
	h.Set("Access-Control-Max-Age", "600")
	h.Set("Vary", "Origin")
	w.WriteHeader(http.StatusNoContent)
}

// allowOrigin lets the page read the answer, whatever the app said about
// origins: it does not know the proxy's user.
func (p *proxy) allowOrigin(res *http.Response) {
	if origin := p.guard.allowed(res.Request); origin != "" {
		res.Header.Set("Access-Control-Allow-Origin", origin)
		res.Header.Add("Vary", "Origin")
	}
}

func writeProblem(w http.ResponseWriter, p Problem) {
	p.Type = "about:blank"
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set(ErrorHeader, p.Code)
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n'))
}
