package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/blindbox/blindbox/box/sandbox/oci"
)

// Client talks to registries. HTTP and Limits are required.
type Client struct {
	HTTP   *http.Client
	Limits oci.Limits
	// User and Password are shown to the registry's token service, or to itself
	// if it asks for them directly. Empty means anonymous.
	User, Password string

	authorization string // of the last challenge
}

// Resolved is one image for one platform.
type Resolved struct {
	Reference Reference // with the digest of the manifest
	Digest    oci.Digest
	MediaType string
	Manifest  []byte
}

// Resolve finds the manifest of an image for a platform.
func (c *Client) Resolve(ctx context.Context, r Reference, os, arch string) (*Resolved, error) {
	doc, mediaType, err := c.manifest(ctx, r)
	if err != nil {
		return nil, err
	}
	if oci.IsIndex(mediaType) {
		d, err := oci.Choose(doc, os, arch, c.Limits)
		if err != nil {
			return nil, err
		}
		r.Digest = &d.Digest
		if doc, mediaType, err = c.manifest(ctx, r); err != nil {
			return nil, err
		}
	}
	if _, err := oci.ParseManifest(doc, c.Limits); err != nil {
		return nil, err
	}
	digest := oci.Digest(sha256.Sum256(doc))
	r.Digest = &digest
	return &Resolved{r, digest, mediaType, doc}, nil
}

// manifest fetches a manifest or an index, and compares the digest if one is known.
func (c *Client) manifest(ctx context.Context, r Reference) (doc []byte, mediaType string, err error) {
	accept := strings.Join([]string{oci.MediaManifest, oci.MediaIndex, oci.MediaDockerManifest, oci.MediaDockerIndex}, ", ")
	resp, err := c.get(ctx, r, r.url("manifests", r.wanted()), accept)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	doc, err = io.ReadAll(io.LimitReader(resp.Body, c.Limits.Manifest+1))
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("registry: %s: %w", r.Host, err)
	case int64(len(doc)) > c.Limits.Manifest:
		return nil, "", fmt.Errorf("registry: a manifest of more than %d bytes: %w", c.Limits.Manifest, oci.ErrTooLarge)
	}
	if got := oci.Digest(sha256.Sum256(doc)); r.Digest != nil && got != *r.Digest {
		return nil, "", fmt.Errorf("registry: %s answered with %s, expected %s: %w", r.Host, got, *r.Digest, oci.ErrDigest)
	}
	return doc, resp.Header.Get("Content-Type"), nil
}

// blob copies a blob to w. What was written is worth nothing unless the error
// is nil.
func (c *Client) blob(ctx context.Context, r Reference, d oci.Descriptor, w io.Writer) error {
	resp, err := c.get(ctx, r, r.url("blobs", d.Digest.String()), "*/*")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, h), io.LimitReader(resp.Body, d.Size+1))
	switch {
	case err != nil:
		return fmt.Errorf("registry: %s: %w", d.Digest, err)
	case n != d.Size:
		return fmt.Errorf("registry: %s has %d bytes or more, expected %d: %w", d.Digest, n, d.Size, oci.ErrSize)
	case oci.Digest(h.Sum(nil)) != d.Digest:
		return fmt.Errorf("registry: %s holds other bytes: %w", d.Digest, oci.ErrDigest)
	}
	return nil
}

// get asks once more with a token if the registry demands one.
func (c *Client) get(ctx context.Context, r Reference, at, accept string) (*http.Response, error) {
	resp, err := c.once(ctx, at, accept)
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		resp.Body.Close()
		if err := c.authorize(ctx, r, resp.Header.Get("WWW-Authenticate")); err != nil {
			return nil, err
		}
		resp, err = c.once(ctx, at, accept)
	}
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("registry: %s says %s to %s/%s, expected 200", r.Host, resp.Status, r.Repository, r.wanted())
	}
	return resp, nil
}

func (c *Client) once(ctx context.Context, at, accept string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	if c.authorization != "" {
		// net/http leaves it out where a redirect leads to another host.
		req.Header.Set("Authorization", c.authorization)
	}
	return c.HTTP.Do(req)
}

var parameterForm = regexp.MustCompile(`([a-z]+)="([^"]*)"`)

// authorize answers a challenge (distribution-spec; RFC 6750, section 3).
func (c *Client) authorize(ctx context.Context, r Reference, challenge string) error {
	scheme, rest, _ := strings.Cut(challenge, " ")
	if strings.EqualFold(scheme, "Basic") && c.User != "" {
		req := &http.Request{Header: http.Header{}}
		req.SetBasicAuth(c.User, c.Password)
		c.authorization = req.Header.Get("Authorization")
		return nil
	}
	p := map[string]string{}
	for _, m := range parameterForm.FindAllStringSubmatch(rest, -1) {
		p[m[1]] = m[2]
	}
	realm, err := url.Parse(p["realm"])
	if !strings.EqualFold(scheme, "Bearer") || err != nil || realm.Host == "" {
		return fmt.Errorf("registry: %s demands %.60q, expected a token service", r.Host, scheme)
	}
	if realm.Scheme != "https" && !(realm.Scheme == "http" && loopback(realm.Host) && loopback(r.Host)) {
		return fmt.Errorf("registry: the token service of %s is %s://%s, expected https", r.Host, realm.Scheme, realm.Host)
	}
	q := realm.Query()
	q.Set("service", p["service"])
	q.Set("scope", "repository:"+r.Repository+":pull")
	realm.RawQuery = q.Encode()
	token, err := c.token(ctx, realm.String())
	if err != nil {
		return fmt.Errorf("registry: the token service %s: %w", realm.Host, err)
	}
	c.authorization = "Bearer " + token
	return nil
}

func (c *Client) token(ctx context.Context, at string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return "", err
	}
	if c.User != "" {
		req.SetBasicAuth(c.User, c.Password)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s, expected 200", resp.Status)
	}
	const most = 1 << 20
	body, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return "", err
	}
	var doc struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&doc); err != nil {
		return "", err
	}
	if doc.Token == "" {
		doc.Token = doc.AccessToken
	}
	if doc.Token == "" || strings.ContainsAny(doc.Token, "\r\n") {
		return "", errors.New("no token in its answer")
	}
	return doc.Token, nil
}
