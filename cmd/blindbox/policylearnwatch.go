package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/blindbox/blindbox/box"
	"github.com/blindbox/blindbox/box/egress"
	"github.com/blindbox/blindbox/box/ingress"
	"github.com/blindbox/blindbox/box/sandbox"
	"github.com/blindbox/blindbox/policy"
	"github.com/blindbox/blindbox/policy/learn"
)

// around sees the requests that the box passes on.
func (l *lesson) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		done := l.recorder.Begin()
		path := r.URL.EscapedPath()
		l.recorder.Request(learn.Request{
			Caller: r.Header.Get("Blindbox-Caller"), Action: l.opened.ActionOf(r.Method, path), Method: r.Method, Path: path, Model: l.modelOf(path),
		})
		body := &countedBody{ReadCloser: r.Body}
		answer := &countedAnswer{ResponseWriter: w}
		defer func() { done(body.n.Load(), answer.n) }()
		if r.Body != nil {
			r.Body = body
		}
		next.ServeHTTP(answer, r)
	})
}

func (l *lesson) modelOf(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(l.base.Models) == 0 || len(parts) < 3 || parts[0] != "v2" || parts[1] != "models" {
		return ""
	}
	return parts[2]
}

// decided sees the requests that the box answers itself, and that not everybody may
// make.
func (l *lesson) decided(d ingress.Decision) {
	if d.Action == policy.Observe && d.Allowed && d.Line > 0 {
		l.recorder.Request(learn.Request{Caller: d.Caller, Action: policy.Observe, Method: d.Method, Path: policy.ReservedPrefix})
	}
}

type countedBody struct {
	io.ReadCloser
	n atomic.Int64 // a proxy may read on while the answer is written
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	return n, err
}

type countedAnswer struct {
	http.ResponseWriter
	n int64
}

func (a *countedAnswer) Write(p []byte) (int, error) {
	n, err := a.ResponseWriter.Write(p)
	a.n += int64(n)
	return n, err
}

// Unwrap lets [http.ResponseController] reach what is below.
func (a *countedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// learning watches an app from an image.
func (l *lesson) learning() *box.Learning {
	w := &box.Learning{
		Attempt: func(a egress.Attempt) {
			l.recorder.Attempt(learn.Attempt{Host: a.Host, Port: a.Port, Protocol: a.Protocol})
		},
		Begin: l.watch,
	}
	for _, f := range l.base.Files.Writable {
		w.Folders = append(w.Folders, f.Path)
	}
	return w
}

// sampleEvery is how often it is looked what the app uses.
const sampleEvery = 20 * time.Millisecond

// watch compares the app's tree before and after, and samples in between.
func (l *lesson) watch(tree string, usage func() (sandbox.Usage, error)) (end func()) {
	before, err := snapshot(tree)
	if err != nil {
		l.problems = append(l.problems, fmt.Sprintf("the app's files could not be read before it ran: %v", err))
	}
	l.usage.Store(&usage)
	stop := make(chan struct{})
	var sampling sync.WaitGroup
	sampling.Go(func() {
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			l.sample()
		}
	})
	return func() {
		close(stop)
		sampling.Wait()
		after, err := snapshot(tree)
		if err != nil {
			l.problems = append(l.problems, fmt.Sprintf("the app's files could not be read after it ran: %v", err))
			return
		}
		l.recorder.Files(before, after)
	}
}

// sample looks what the app uses now.
func (l *lesson) sample() {
	usage := l.usage.Load()
	if usage == nil {
		return
	}
	// While the app is being started again there is nothing to count.
	if u, err := (*usage)(); err == nil {
		l.recorder.Usage(learn.Peak{Memory: u.Memory, PIDs: u.PIDs, OpenFiles: u.OpenFiles})
	}
}

// snapshot lists the files of an app. It follows no link.
func snapshot(root string) (learn.Tree, error) {
	t := learn.Tree{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		e := learn.Entry{Dir: d.IsDir(), Changed: info.ModTime().UnixNano()}
		if info.Mode().IsRegular() {
			e.Bytes = info.Size()
		}
		t["/"+strings.TrimPrefix(strings.TrimPrefix(path, root), "/")] = e
		return nil
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}
