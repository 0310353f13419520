package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
)

// oneAtATime is processor time for one at a time.
type oneAtATime struct {
	taken chan string
	by    map[string]int
	alone bool
}

func newTurns(alone bool) *oneAtATime {
	return &oneAtATime{make(chan string, 1), map[string]int{}, alone}
}

func (o *oneAtATime) take(ctx context.Context, owner string) (func(), bool, error) {
	select {
	case o.taken <- owner:
		o.by[owner]++
		return func() { <-o.taken }, o.alone, nil
	case <-ctx.Done():
		return nil, false, context.Cause(ctx)
	}
}

// packing is a loader that takes a turn of its own, as soon as it has read all.
type packing struct {
	reader
	turns *oneAtATime
}

func (p *packing) Load(ctx context.Context, options string, r io.Reader) (Ready, error) {
	w, err := p.reader.Load(ctx, options, r)
	if err != nil {
		return nil, err
	}
	resume := Pause(ctx)
	release, _, err := p.turns.take(ctx, Owner(ctx))
	resume()
	if err != nil {
		return nil, err
	}
	defer release()
	return w, nil
}

// TestTurns: an upload and a load work when it is their turn, and hold none while they
// wait: for a sender, or for the loader's own.
func TestTurns(t *testing.T) {
	for _, alone := range []bool{false, true} {
		on := sealedOn(t, 2<<20)
		synctest.Test(t, func(t *testing.T) {
			turns := newTurns(alone)
			s := open(t, func(c *Config) { on(c); c.Turn, c.Loader = turns.take, &packing{turns: turns} })
			data := file("a", 450*kib)
			u := begin(t, s, "anna", Spec{Name: "a"})
			in, out := io.Pipe()
			read := make(chan error, 1)
			go func() {
				_, err := u.ReadFrom(in)
				read <- err
			}()
			_, err := out.Write(data[:300*kib])
			must(t, err)
			synctest.Wait()
			if len(turns.taken) != 0 || turns.by["anna"] == 0 || u.Offset() != 300*kib {
				t.Errorf("%d turns taken while the sender is silent, %d before, offset %d", len(turns.taken), turns.by["anna"], u.Offset())
			}
			turns.taken <- "somebody else"
			_, err = out.Write(data[300*kib:])
			must(t, err, out.Close())
			synctest.Wait()
			if len(read) != 0 {
				t.Error("an upload went on without a turn")
			}
			<-turns.taken
			must(t, <-read)
			e, err := u.Finish(context.Background())
			must(t, err, s.Unload("anna", e.Reference()))
			mustHave(t, s, "anna", "a", data)
			if len(turns.taken) != 0 {
				t.Error("a turn was not given back")
			}
		})
	}
}

// TestNoTurn: who waits for a turn in vain holds nothing afterwards.
func TestNoTurn(t *testing.T) {
	on := sealedOn(t, 2<<20)
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(true)
		s := open(t, func(c *Config) { on(c); c.Turn = turns.take })
		e := mustSend(t, s, "anna", Spec{Name: "a"}, file("a", 100*kib))
		must(t, s.Unload("anna", e.Reference()))
		turns.taken <- "somebody else"
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			synctest.Wait()
			cancel()
		}()
		if err := s.Load(ctx, "anna", e.Reference()); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		u := begin(t, s, "anna", Spec{Name: "b"})
		go func() {
			synctest.Wait()
			u.Abort()
		}()
		_, err := u.ReadFrom(bytes.NewReader(file("b", 100*kib)))
		is[*NoUploadError](t, err, nil)
		<-turns.taken
		synctest.Wait()
		nothingElse(t, s, "anna", 1)
	})
}
