// Package models answers one question: how does a program bring its models into a box,
// see what is there, and take them out again?
//
// It speaks to a box over whatever [http.RoundTripper] it is given, which is where the
// box is verified before a byte is sent: see package client. What the box answers is
// bounded and checked; that the model that it has is the one that was sent is compared
// by SHA-256.
//
// Source: the repository of a box, package model; uploads as in
// draft-ietf-httpbis-resumable-upload, digests as in RFC 9530.
package models

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blindbox/blindbox/internal/sizes"
)

// Client asks a box. Base and HTTP are required. It is safe for concurrent use.
type Client struct {
	// Base is https://HOST[:PORT] of the box.
	Base *url.URL
	// HTTP sends requests, and verifies the box first.
	HTTP http.RoundTripper
	// Key is the caller's API key, "" if it has none.
	Key string

	pause func(context.Context, time.Duration) bool // instead of waiting; false: ctx has ended
}

// Model is what a box says about one model.
type Model struct {
	Name       string `json:"name"`       // as the caller calls it; OWNER~NAME for another's
	Version    string `json:"version"`    // "1", "2", ...
	State      string `json:"state"`      // READY, LOADING or UNAVAILABLE
	Reason     string `json:"reason"`     // why it is not ready
	ID         string `json:"id"`         // "sha256:" and the digest of its file
	Owner      string `json:"owner"`      // "" for a model of the box
	Visibility string `json:"visibility"` // private or shared
	Optimize   bool   `json:"optimize"`
	Batch      int    `json:"batch"`  // rows of one run, which requests share; 0: they share none
	Loaded     bool   `json:"loaded"` // in memory, and not sealed on the disk alone
	Pinned     bool   `json:"pinned"`
	Size       int64  `json:"size"`   // bytes of its file
	Memory     int64  `json:"memory"` // bytes that it holds when it is loaded
	Uploaded   string `json:"uploaded"`
}

// Error is a refusal of the box.
type Error struct {
	Status  int           // HTTP status
	Message string        // what the box says
	Retry   time.Duration // after which it may be tried again; 0: not said
}

func (e *Error) Error() string { return fmt.Sprintf("the box answers %d: %s", e.Status, e.Message) }

var errUnreadable = errors.New("models: the box's answer cannot be read")

var errFile = errors.New("models: the file cannot be read")

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 20

// List returns the models that the caller may know of.
func (c *Client) List(ctx context.Context) ([]Model, error) {
	var out struct{ Models []Model }
	return out.Models, c.call(ctx, http.MethodGet, "/v2/models", nil, &out)
}

// Deleted is what a box says of a model that it has deleted.
type Deleted struct {
	Name    string   `json:"name"` // as the caller calls it
	Version string   `json:"version"`
	ID      string   `json:"id"`
	Left    []string `json:"left"` // versions that the caller still has of this name, the oldest first
}

// Delete takes a model of the caller out of the box, for good. name may be NAME or an
// id, version "" for the newest.
func (c *Client) Delete(ctx context.Context, name, version string) (d Deleted, err error) {
	return d, c.call(ctx, http.MethodDelete, "/v2/repository/models/"+at(name, version), nil, &d)
}

// DeleteAll takes every version of a model that the caller has at the beginning, one after
// the other, the newest first. It ends with the first error: what was yielded before is
// gone. A version that somebody else takes out meanwhile is none.
func (c *Client) DeleteAll(ctx context.Context, name string) iter.Seq2[Deleted, error] {
	return func(yield func(Deleted, error) bool) {
		d, err := c.Delete(ctx, name, "")
		if !yield(d, err) || err != nil {
			return
		}
		for _, version := range slices.Backward(d.Left) {
			one, err := c.Delete(ctx, d.Name, version)
			if said := (*Error)(nil); errors.As(err, &said) && said.Status == http.StatusNotFound {
				continue
			}
			if !yield(one, err) || err != nil {
				return
			}
		}
	}
}

// Load has a model made ready, Unload has it sealed until it is asked for; a pinned one
// stays ready.
func (c *Client) Load(ctx context.Context, name, version string) (Model, error) {
	return c.change(ctx, name, version, "load")
}

// Unload is described at Load.
func (c *Client) Unload(ctx context.Context, name, version string) (Model, error) {
	return c.change(ctx, name, version, "unload")
}

// Pin keeps a model ready until Unpin.
func (c *Client) Pin(ctx context.Context, name, version string) (Model, error) {
	return c.change(ctx, name, version, "pin")
}

// Unpin is described at Pin.
func (c *Client) Unpin(ctx context.Context, name, version string) (Model, error) {
	return c.change(ctx, name, version, "unpin")
}

func (c *Client) change(ctx context.Context, name, version, what string) (m Model, err error) {
	return m, c.call(ctx, http.MethodPost, "/v2/repository/models/"+at(name, version)+"/"+what, nil, &m)
}

// at is a model's place in a path.
func at(name, version string) string {
	if version == "" {
		return url.PathEscape(name)
	}
	return url.PathEscape(name) + "/versions/" + url.PathEscape(version)
}

// call sends a request and reads the object of its answer, if out is not nil.
func (c *Client) call(ctx context.Context, method, path string, body []byte, out any) error {
	r, err := c.request(ctx, method, path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	_, err = c.do(r, out)
	return err
}

func (c *Client) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	if c.Base == nil || c.HTTP == nil {
		return nil, errors.New("models: no address of a box, or nothing to send requests with")
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.Base.String(), "/")+path, body)
	if err != nil {
		return nil, err
	}
	if c.Key != "" {
		r.Header.Set("Authorization", "Bearer "+c.Key)
	}
	return r, nil
}

// do sends a request. An answer that is no success is an *Error.
func (c *Client) do(r *http.Request, out any) (http.Header, error) {
	a, err := c.HTTP.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	body, err := io.ReadAll(io.LimitReader(a.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("models: the box's answer is larger than %s", sizes.Exact(maxAnswer))
	case a.StatusCode < 200 || a.StatusCode > 299:
		return a.Header, refusal(a, body)
	case out == nil:
		return a.Header, nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return a.Header, nil
}

// refusal reads an error of the models, or of the box's door (RFC 9457).
func refusal(a *http.Response, body []byte) error {
	var said struct{ Error, Title, Detail string }
	e := &Error{Status: a.StatusCode, Message: http.StatusText(a.StatusCode)}
	if json.Unmarshal(body, &said) == nil {
		switch {
		case said.Error != "":
			e.Message = said.Error
		case said.Title != "":
			e.Message = strings.TrimSuffix(said.Title+": "+said.Detail, ": ")
		}
	}
	if n, err := strconv.Atoi(a.Header.Get("Retry-After")); err == nil && n > 0 {
		e.Retry = time.Duration(n) * time.Second
	}
	return e
}
