// Package registry fetches container images. It answers one question: which
// bytes does this name stand for now?
//
// It speaks the part of the OCI distribution specification that reads: resolve
// a tag to a digest, fetch a manifest and its blobs, with the token exchange
// that public registries ask for. Everything that is fetched by digest is
// compared with it before it is kept.
//
// It stands with whoever writes a policy, on their own machine. Nothing of it is
// in the box, which believes neither a registry nor a tag.
package registry

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"

	"github.com/blindbox/blindbox/box/sandbox/oci"
)

// Reference is the name of an image in a registry.
type Reference struct {
	Host       string // with a port, if it has one
	Repository string
	Tag        string
	Digest     *oci.Digest
}

// Forms of the parts (distribution-spec, "Pulling manifests").
var (
	repositoryForm = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagForm        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	hostForm       = regexp.MustCompile(`^([a-zA-Z0-9.-]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?$`)
)

// What a name without a host means, as everywhere.
const (
	hubName = "docker.io"
	hubHost = "registry-1.docker.io"
)

// ParseReference reads HOST/REPOSITORY[:TAG][@sha256:...]. A name whose first
// part is no host belongs to Docker's registry; without a tag and digest, the
// tag is latest.
func ParseReference(s string) (Reference, error) {
	var r Reference
	rest, digest, pinned := strings.Cut(s, "@")
	if pinned {
		d, err := oci.ParseDigest(digest)
		if err != nil {
			return Reference{}, fmt.Errorf("registry: reference %.200q: %w", s, err)
		}
		r.Digest = &d
	}
	r.Host = hubName
	if first, after, ok := strings.Cut(rest, "/"); ok && (strings.ContainsAny(first, ".:[") || first == "localhost") {
		r.Host, rest = first, after
	}
	r.Repository, r.Tag, _ = strings.Cut(rest, ":")
	if r.Tag == "" && !pinned && !strings.Contains(rest, ":") {
		r.Tag = "latest"
	}
	if r.Host == hubName {
		r.Host = hubHost
		if !strings.Contains(r.Repository, "/") {
			r.Repository = "library/" + r.Repository
		}
	}
	if !hostForm.MatchString(r.Host) || !repositoryForm.MatchString(r.Repository) || len(r.Repository) > 255 ||
		!tagForm.MatchString(r.Tag) && !(pinned && !strings.Contains(rest, ":")) {
		return Reference{}, fmt.Errorf("registry: reference %.200q, expected HOST/NAME:TAG or HOST/NAME@sha256:DIGEST", s)
	}
	return r, nil
}

// wanted is what the registry is asked for: the digest, if there is one.
func (r Reference) wanted() string {
	if r.Digest != nil {
		return r.Digest.String()
	}
	return r.Tag
}

// url is the address of a part of the repository. Without TLS it is for a
// registry on this machine only.
func (r Reference) url(kind, what string) string {
	scheme := "https"
	if loopback(r.Host) {
		scheme = "http"
	}
	return scheme + "://" + r.Host + "/v2/" + r.Repository + "/" + kind + "/" + what
}

func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && ip.IsLoopback()
}
