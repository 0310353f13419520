package store

import (
	"context"
	"io"
	"testing"
)

// hungry is a loader that works with memory beside its file.
type hungry struct {
	reader
	needs int64
	seen  func() // while it works
}

func (h *hungry) Load(ctx context.Context, options string, r io.Reader) (Ready, error) {
	data, err := h.reader.Load(ctx, options, r)
	for range 4 {
		if err == nil {
			err = Hold(ctx, h.needs/4)
		}
	}
	if err != nil {
		return nil, err
	}
	h.seen()
	return data, nil
}

// TestHold: what a loader works with counts for as long as it does, for an upload and for
// a sealed file, and there is no more of it than memory.
func TestHold(t *testing.T) {
	for name, disk := range map[string]bool{"memory": false, "disk": true} {
		t.Run(name, func(t *testing.T) {
			h := &hungry{needs: 400 * kib}
			s := open(t, func(c *Config) {
				if disk {
					sealedOn(t, 8<<20)(c)
				}
				c.Loader = h
			})
			most := int64(0)
			h.seen = func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				most = max(most, s.memory)
			}
			e := mustSend(t, s, "anna", Spec{Name: "m"}, file("m", 1000))
			if most < 400*kib {
				t.Errorf("%d bytes were counted while the loader worked", most)
			}
			if disk {
				most = 0
				must(t, s.Unload("anna", e.Reference()))
				must(t, s.Load(context.Background(), "anna", e.Reference()))
				if most < 400*kib {
					t.Errorf("%d bytes were counted while a sealed file was loaded", most)
				}
			}
			if s.memory > 20*kib {
				t.Errorf("%d bytes are counted afterwards", s.memory)
			}
			must(t, s.invariants())
			h.needs = 2000 * kib
			_, err := send(s, "anna", Spec{Name: "large"}, file("l", 1000))
			is(t, err, func(e *FullError) bool { return e.Never && e.What == "memory" })
			if disk {
				must(t, s.Unload("anna", e.Reference()))
				is(t, s.Load(context.Background(), "anna", e.Reference()), func(e *FullError) bool { return e.Never })
			}
			must(t, s.invariants())
			if s.memory > 20*kib {
				t.Errorf("%d bytes are counted after a refusal", s.memory)
			}
		})
	}
	if err := Hold(t.Context(), 1<<60); err != nil {
		t.Errorf("nobody counts, and it is refused: %v", err)
	}
}

// TestHoldOfManyUploads: what the loaders of one caller's uploads work with is bounded as
// the uploads are. A refusal of this moment ends the upload: it would not go better.
func TestHoldOfManyUploads(t *testing.T) {
	h := &hungry{needs: 400 * kib, seen: func() {}}
	s := open(t, func(c *Config) { c.Loader, c.Arriving = h, 300*kib })
	_, err := send(s, "anna", Spec{Name: "m"}, file("m", 1000))
	is(t, err, func(e *FullError) bool { return e.What == "memory for one caller's uploads" })
	nothingElse(t, s, "anna", 0)
	h.needs = 800 * kib
	s.config.Arriving = 1000 * kib
	s.mu.Lock()
	s.memory += 500 * kib // of others
	s.mu.Unlock()
	u := begin(t, s, "anna", Spec{Name: "m"})
	if _, err := u.Write(file("m", 1000)); err != nil {
		t.Fatal(err)
	}
	_, err = u.Finish(t.Context())
	is(t, err, func(e *FullError) bool { return !e.Never })
	s.mu.Lock()
	s.memory -= 500 * kib
	s.mu.Unlock()
	nothingElse(t, s, "anna", 0)
}
