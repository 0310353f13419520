package box

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// outside is a folder of the host's, for what a box gives out. Nothing in it is
// believed, and no link leads out of it.
type outside struct {
	root *os.Root
	// failed gets why something could not be written, once.
	failed chan error

	mu sync.Mutex
	// writing is when each write began that has not ended, by the clock that the host
	// cannot set back: what it does not take would else be never late.
	writing map[*time.Time]bool
}

// stuckLimit is how long the host may take to take something.
const stuckLimit = time.Minute

func openOutside(dir string) (*outside, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &outside{root: root, failed: make(chan error, 1)}, nil
}

// watched does f, which writes, and tells if it fails.
func (o *outside) watched(f func() error) error {
	defer o.begin()()
	err := f()
	if err != nil {
		o.fail(err)
	}
	return err
}

// begin notes that something is being written, until end is called.
func (o *outside) begin() (end func()) {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.writing == nil {
		o.writing = map[*time.Time]bool{}
	}
	o.writing[&now] = true
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.writing, &now)
	}
}

func (o *outside) fail(err error) {
	select {
	case o.failed <- err:
	default:
	}
}

// late says that something is being written for too long.
func (o *outside) late(now time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for began := range o.writing {
		if now.Sub(*began) > stuckLimit {
			return fmt.Errorf("what is written is not taken for %s", stuckLimit)
		}
	}
	return nil
}

// appended is a file that only grows.
type appended struct {
	*os.File
	in *outside
}

// append opens a file to go on behind what there is. old is that, nil if the file
// was not there before. No two boxes can have it.
func (o *outside) append(name string) (f *appended, old io.Reader, err error) {
	_, missing := o.root.Stat(name)
	file, err := o.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND|nonBlocking, 0o600)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular(): // a pipe would take everything and keep nothing
		err = fmt.Errorf("%s is not a regular file", name)
	default:
		err = lock(file)
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	if !errors.Is(missing, os.ErrNotExist) {
		old = io.NewSectionReader(file, 0, info.Size())
	}
	return &appended{file, o}, old, nil
}

// Write implements [io.Writer].
func (a *appended) Write(p []byte) (n int, err error) {
	err = a.in.watched(func() error {
		n, err = a.File.Write(p)
		return err
	})
	return n, err
}

// put writes a file that is there whole or not at all.
func (o *outside) put(name string, data []byte) error {
	return o.watched(func() error {
		part := name + ".tmp"
		if err := o.root.Remove(part); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		f, err := o.root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		return o.root.Rename(part, name)
	})
}
