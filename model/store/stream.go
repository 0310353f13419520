package store

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// part is how many bytes are counted, hashed, sealed and loaded at once.
const part = 128 << 10

// pieces is how many parts an upload holds: one that is worked at, one that waits and
// one that is being read.
const pieces = 3

// stream takes r to its end. The next parts are read while one is worked at; of a
// sender that is slow each part is what there is.
func (u *Upload) stream(r io.Reader) (int64, error) {
	w := &worker{upload: u, in: make(chan []byte, 1), free: make(chan []byte, pieces), failed: make(chan struct{})}
	for range pieces {
		w.free <- make([]byte, part)
	}
	var all sync.WaitGroup
	all.Go(w.work)
	over, cut := w.read(r)
	close(w.in)
	all.Wait()
	switch {
	case w.err != nil:
		return w.n, w.err
	case over != nil:
		return w.n, over
	case cut != nil && !errors.Is(cut, io.EOF):
		return w.n, fmt.Errorf("store: the upload was cut after %d bytes: %w", w.n, cut)
	}
	return w.n, nil
}

// worker passes on what a request brings, beside who reads it.
type worker struct {
	upload *Upload
	in     chan []byte // parts that were counted
	free   chan []byte
	failed chan struct{} // closed when err is set
	err    error         // why the upload has ended
	n      int64         // bytes passed on
}

// read reads and counts, until the sender has no more or a quota is over. What was
// counted is handed on, whatever ends it.
func (w *worker) read(r io.Reader) (over, cut error) {
	buf, filled := <-w.free, 0
	for over == nil && cut == nil {
		var n int
		n, cut = r.Read(buf[filled:])
		if over = w.upload.count(int64(n)); over == nil {
			filled += n
		}
		// Who works gets something to do at once, or else a whole part.
		if ends := over != nil || cut != nil; filled > 0 && (ends || filled == part || len(w.in) == 0) {
			w.in <- buf[:filled]
			buf, filled = <-w.free, 0
		}
		select {
		case <-w.failed: // work knows why
			return nil, nil
		default:
		}
	}
	return over, cut
}

// work passes parts on. It gives its turn back when it has to wait for the sender.
func (w *worker) work() {
	t := turn{give: w.upload.store.config.Turn, owner: w.upload.owner.name}
	defer t.end()
	for p := range w.in {
		if w.err == nil {
			if w.err = w.pass(&t, p); w.err != nil {
				close(w.failed)
			}
		}
		w.free <- p[:part]
		if len(w.in) == 0 || t.over() {
			t.end()
		}
	}
}

func (w *worker) pass(t *turn, p []byte) error {
	u := w.upload
	if err := t.begin(u.ctx); err != nil {
		return u.end(err)
	}
	if err := u.pass(p, t.alone); err != nil {
		return u.end(err)
	}
	w.n += int64(len(p))
	return nil
}
