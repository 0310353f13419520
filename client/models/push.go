package models

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/blindbox/blindbox/model/foreign"
)

// Spec is what the caller says about a model that it brings.
type Spec struct {
	Name    string
	Version string // "" for the one after the newest
	Shared  bool   // with every caller whom the policy lets ask it, and not the owner's alone
	// Unoptimized has the model's operators run one by one, as they stand in the file.
	Unoptimized bool
	// Batch lets requests share runs of so many rows, 2 to 64; 0: each has its own.
	Batch int
}

// query is the spec as the address of an upload has it.
func (s *Spec) query() string {
	q := url.Values{"name": {s.Name}}
	if s.Version != "" {
		q.Set("version", s.Version)
	}
	if s.Shared {
		q.Set("visibility", "shared")
	}
	if s.Unoptimized {
		q.Set("optimize", "false")
	}
	if s.Batch != 0 {
		q.Set("batch", strconv.Itoa(s.Batch))
	}
	return q.Encode()
}

// tries is how often an upload goes on after it was cut without one byte of progress.
const tries = 5

// recognise refuses a file that is something else than a model, by its first bytes. The
// error wraps a [foreign.Error].
func recognise(file io.ReaderAt, size int64) error {
	head, err := io.ReadAll(io.NewSectionReader(file, 0, min(size, foreign.Head)))
	if err != nil {
		return fmt.Errorf("%w: %w", errFile, err)
	}
	if other := foreign.Of(head); other != nil {
		return fmt.Errorf("models: nothing was sent: %w", other)
	}
	return nil
}

// Push uploads a file of so many bytes, from its first, and returns the model that the
// box has made of it. If the connection is cut it goes on where the box has come to.
// sent, if it is not nil, is told how many bytes are out. The file is read twice at the
// same time, from the first byte on: for the box, and for its digest, which is announced
// before the box makes a model of what it has. What is another kind of file is not sent.
func (c *Client) Push(ctx context.Context, file io.ReaderAt, size int64, s Spec, sent func(int64)) (Model, error) {
	if n, err := file.ReadAt(make([]byte, 1), max(size-1, 0)); size > 0 && n < 1 {
		return Model{}, fmt.Errorf("%w: it has no %d bytes: %w", errFile, size, err)
	}
	if err := recognise(file, size); err != nil {
		return Model{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	u := &upload{client: c, file: file, size: size, sum: digest(ctx, file, size), sent: sent}
	if err := u.begin(ctx, s); err != nil {
		return Model{}, err
	}
	m, err := u.send(ctx)
	if err != nil {
		if ctx.Err() != nil {
			u.abandon(ctx)
		}
		return Model{}, err
	}
	sum, err := u.sum()
	if err != nil {
		return Model{}, err
	}
	if id := "sha256:" + hex.EncodeToString(sum); m.ID != id {
		return Model{}, fmt.Errorf("models: the box has a model %q, and %s was sent: do not use it", m.ID, id)
	}
	return m, nil
}

// digest begins to hash a file, and returns what waits for the end of that.
func digest(ctx context.Context, file io.ReaderAt, size int64) func() ([]byte, error) {
	done := make(chan struct{})
	h := sha256.New()
	var err error
	go func() {
		defer close(done)
		_, err = io.CopyBuffer(h, &until{ctx, io.NewSectionReader(file, 0, size)}, make([]byte, 64<<10))
	}()
	return func() ([]byte, error) {
		<-done
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errFile, err)
		}
		return h.Sum(nil), nil
	}
}

// until reads for as long as ctx is there.
type until struct {
	ctx context.Context
	in  io.Reader
}

func (r *until) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.in.Read(p)
}

// upload is a file on its way.
type upload struct {
	client *Client
	file   io.ReaderAt
	size   int64
	sum    func() ([]byte, error) // its digest
	path   string                 // of the upload
	offset int64                  // where the next part begins
	sent   func(int64)
}

// begin tells the box what will come.
func (u *upload) begin(ctx context.Context, s Spec) error {
	r, err := u.client.request(ctx, http.MethodPost, "/v2/repository/uploads?"+s.query(), http.NoBody)
	if err != nil {
		return err
	}
	r.Header.Set("Upload-Complete", "?0")
	r.Header.Set("Upload-Length", strconv.FormatInt(u.size, 10))
	h, err := u.client.do(r, nil)
	if err != nil {
		return err
	}
	at, err := url.Parse(h.Get("Location"))
	if err != nil || at.Host != "" || at.RawQuery != "" || !isUpload(at.Path) {
		return fmt.Errorf("models: the box gives %.200q as the place of an upload", h.Get("Location"))
	}
	u.path = at.EscapedPath()
	return nil
}

func isUpload(path string) bool {
	const prefix = "/v2/repository/uploads/"
	return len(path) > len(prefix) && path[:len(prefix)] == prefix
}

// abandon has the box forget a part that nobody goes on with, which it would keep for
// minutes and count against the caller. If that fails it does so after all.
func (u *upload) abandon(ctx context.Context) {
	ctx, end := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer end()
	if r, err := u.client.request(ctx, http.MethodDelete, u.path, http.NoBody); err == nil {
		_, _ = u.client.do(r, nil)
	}
}

// patience is how long somebody who gave up an upload waits for the box to forget it.
const patience = 3 * time.Second

// send sends all of the file, in as many parts as it takes.
func (u *upload) send(ctx context.Context) (m Model, err error) {
	furthest := u.offset // a box that goes back and forth makes no progress
	for failed := 0; failed < tries; {
		m, err = u.part(ctx)
		var refused *Error
		if err == nil || ctx.Err() != nil || errors.Is(err, errUnreadable) || errors.Is(err, errFile) || errors.As(err, &refused) && !goesOn(refused) {
			return m, err
		}
		if !u.client.sleep(ctx, wait(failed, refused)) {
			return Model{}, ctx.Err()
		}
		var gone *Error
		if at := u.ask(ctx); errors.As(at, &gone) && !goesOn(gone) {
			return Model{}, endedBy(refused, gone)
		}
		if failed++; u.offset > furthest {
			failed, furthest = 0, u.offset
		}
	}
	return Model{}, fmt.Errorf("models: the upload was cut %d times at byte %d: %w", tries, u.offset, err)
}

// part sends what is left of the file, and then says what all of it is.
func (u *upload) part(ctx context.Context) (m Model, err error) {
	if u.offset < u.size {
		body := &told{Reader: io.NewSectionReader(u.file, u.offset, u.size-u.offset), from: u.offset, sent: u.sent}
		if err := u.patch(ctx, body, u.size-u.offset, nil, nil); err != nil {
			return m, err
		}
		u.offset = u.size
	}
	sum, err := u.sum()
	if err != nil {
		return m, err
	}
	return m, u.patch(ctx, http.NoBody, 0, sum, &m)
}

// patch sends one part. The last one has the file's digest.
func (u *upload) patch(ctx context.Context, body io.Reader, length int64, sum []byte, out any) error {
	r, err := u.client.request(ctx, http.MethodPatch, u.path, body)
	if err != nil {
		return err
	}
	r.ContentLength = length
	r.Header.Set("Content-Type", "application/partial-upload")
	r.Header.Set("Upload-Offset", strconv.FormatInt(u.offset, 10))
	r.Header.Set("Upload-Complete", "?0")
	if sum != nil {
		r.Header.Set("Upload-Complete", "?1")
		r.Header.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum)+":")
	}
	_, err = u.client.do(r, out)
	return err
}

// ask learns how far the box has come.
func (u *upload) ask(ctx context.Context) error {
	r, err := u.client.request(ctx, http.MethodHead, u.path, http.NoBody)
	if err != nil {
		return err
	}
	h, err := u.client.do(r, nil)
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(h.Get("Upload-Offset"), 10, 64)
	if err != nil || n < 0 || n > u.size {
		return fmt.Errorf("models: the box says that it has %.40q of %d bytes", h.Get("Upload-Offset"), u.size)
	}
	u.offset = n
	return nil
}

// endedBy says why an upload is not there any more: in the words of the conflict that ended
// it, if there was one; an answer to HEAD has none.
func endedBy(refused, gone *Error) error {
	switch {
	case gone.Status != http.StatusNotFound:
		return gone
	case refused != nil && refused.Status == http.StatusConflict:
		return refused
	}
	gone.Message = "the upload is not there any more: it has ended, or the box was started anew"
	return gone
}

// goesOn says that an upload is still there after a refusal: another part of it was not
// where the box is, it was cut, or the box has no room at this moment.
func goesOn(e *Error) bool {
	return e.Status == http.StatusConflict || e.Retry > 0 || e.Status == http.StatusBadRequest && e.Message != "" && isCut(e.Message) || e.Status == http.StatusBadGateway
}

// isCut tells a body that ended early from one that is wrong.
func isCut(message string) bool {
	const said = "the body ended early"
	return len(message) >= len(said) && message[:len(said)] == said
}

// wait is how long to wait before the next try.
func wait(failed int, refused *Error) time.Duration {
	d := 100 * time.Millisecond << failed
	if refused != nil {
		d = max(d, refused.Retry)
	}
	return min(d, time.Minute)
}

// sleep waits, unless ctx ends before.
func (c *Client) sleep(ctx context.Context, d time.Duration) bool {
	if c.pause != nil {
		return c.pause(ctx, d)
	}
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// told tells how much of a file was read.
type told struct {
	io.Reader
	from int64
	sent func(int64)
}

func (r *told) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.from += int64(n); r.sent != nil && n > 0 {
		r.sent(r.from)
	}
	return n, err
}
