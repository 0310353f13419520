package connect

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// localHostKey is the context's key for the Host by which a local program
// called the proxy.
type localHostKey struct{}

// keepLocal turns a redirect to the box's own address into one to the proxy.
// Many web frameworks answer a path that lacks its last slash with a redirect to
// "http://" and the Host they were called by. A local program that followed it
// would send its request again, body and all, past the proxy and in clear, to
// whoever answers at the box's address.
func (p *proxy) keepLocal(res *http.Response) {
	host, _ := res.Request.Context().Value(localHostKey{}).(string)
	location := res.Header.Get("Location")
	if host == "" || location == "" {
		return
	}
	to, err := res.Request.URL.Parse(location)
	if err != nil {
		// What this package cannot read another might.
		res.Header.Del("Location")
		return
	}
	if !p.isTarget(to) {
		return
	}
	local := "/" + strings.TrimPrefix(to.EscapedPath(), "/")
	if base := strings.Trim(p.config.Target.EscapedPath(), "/"); base != "" {
		local = cutBase(local, "/"+base)
	}
	if to.RawQuery != "" {
		local += "?" + to.RawQuery
	}
	if to.Fragment != "" {
		local += "#" + to.EscapedFragment()
	}
	res.Header.Set("Location", "http://"+host+local)
}

// cutBase takes the path of the target, which the proxy puts in front of every
// path, away again. A path outside of it is left as it is.
func cutBase(path, base string) string {
	rest, found := strings.CutPrefix(path, base)
	switch {
	case !found || rest != "" && rest[0] != '/':
		return path
	case rest == "":
		return "/"
	}
	return rest
}

// isTarget reports whether u is at the box's address, whatever its scheme: an
// app that is reached without TLS inside the box does not know of any.
func (p *proxy) isTarget(u *url.URL) bool {
	if u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	target := p.config.Target
	return strings.EqualFold(u.Host, target.Host) || strings.EqualFold(hostPort(u), hostPort(target))
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
