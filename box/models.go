package box

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"

	"github.com/blindbox/blindbox/box/ingress"
	"github.com/blindbox/blindbox/box/sandbox/rootfs"
	"github.com/blindbox/blindbox/model"
	"github.com/blindbox/blindbox/model/store"
	"github.com/blindbox/blindbox/policy"
)

// Store is where models lie that callers bring, if the policy's store has a disk.
type Store struct {
	// Folder is on the host's disk, which sees how many files there are and how large
	// they are, and nothing else.
	Folder string
	// State is in the box's memory, for keys and catalog: what is sealed outlives this
	// process, and not the machine.
	State string
}

// ModelError says which model of the policy keeps the box from starting.
type ModelError struct {
	Name  string
	Cause error
}

func (e *ModelError) Error() string { return fmt.Sprintf("box: %v", e.Cause) }

// Unwrap returns the cause.
func (e *ModelError) Unwrap() error { return e.Cause }

// loadModels reads the models of the policy, refuses bytes that are not those that it
// names, and makes room for those that callers bring.
func (b *Box) loadModels() (http.Handler, error) {
	p := b.policy
	loaded := make([]model.Loaded, 0, len(p.Models))
	for _, m := range p.Models {
		l, err := loadModel(m, b.cfg.Builtin)
		if err != nil {
			return nil, &ModelError{m.Name, err}
		}
		loaded = append(loaded, l)
	}
	opts := []model.Option{model.WithBodyLimit(p.Limits.Request), model.WithBodies(b.bodies), model.WithInFlight(p.Limits.Concurrent), model.WithShown(shows(p))}
	if p.Limits.Time > 0 {
		opts = append(opts, model.WithDeadline(p.Limits.Time))
	}
	if p.Store == nil && b.cfg.Store != (Store{}) {
		return nil, errors.New("box: there is a folder for models that callers bring, and the policy has no store; nothing was started")
	}
	if p.Store != nil {
		bounds, err := b.storeBounds()
		if err != nil {
			return nil, fmt.Errorf("box: %w", err)
		}
		opts = append(opts, model.WithStore(bounds))
	}
	var err error
	if b.models, err = model.NewServer(loaded, opts...); err != nil {
		return nil, fmt.Errorf("box: %w", err)
	}
	return b.models, nil
}

// storeBounds is the policy's store as package store has it.
func (b *Box) storeBounds() (store.Config, error) {
	s, at := b.policy.Store, b.cfg.Store
	c := store.Config{Memory: s.Memory, OwnerBytes: s.OwnerBytes, OwnerModels: s.OwnerModels, OwnerLoads: s.OwnerLoads, LoadTime: s.LoadTime}
	if len(b.policy.Callers) > 1 {
		c.Arriving = s.Memory / 2 // what one caller's uploads hold is nobody else's
	}
	switch {
	case s.Disk == 0 && at.Folder != "":
		return c, errors.New("there is a folder for models, and the policy's store has no disk; nothing was started")
	case s.Disk == 0:
		return c, nil
	case at.Folder == "" || at.State == "":
		return c, fmt.Errorf("the policy's store has a disk (line %d), and there is no folder for it; nothing was started: name one (boxd --store FOLDER)", b.policy.Line("store.disk"))
	}
	c.Disk, c.Folder, c.State = s.Disk, at.Folder, at.State
	if err := os.MkdirAll(c.State, 0o700); err != nil {
		return c, err
	}
	if err := rootfs.InMemory(c.State); err != nil && !b.cfg.Simulation {
		return c, fmt.Errorf("the keys of models: %w", err)
	}
	return c, nil
}

// modelOf returns the model that a caller's request is for; an app's are for none.
func (b *Box) modelOf(caller string, r *http.Request, body []byte) (ingress.Model, error) {
	if b.models == nil {
		return ingress.Model{}, nil
	}
	name, digest, err := b.models.Model(caller, r, body)
	return ingress.Model{Name: name, Digest: digest}, err
}

// batches is how requests have shared runs of the models; nil in a box with an app.
func (b *Box) batches() *ingress.Batches {
	if b.models == nil {
		return nil
	}
	c := ingress.Batches(b.models.Shared())
	return &c
}

// inBody reports whether the model that a request is for stands in its body; the bodies
// of an app's requests are the app's alone.
func (b *Box) inBody(r *http.Request) bool { return b.models != nil && model.InBody(r) }

// shows reports whether a list of models has a model in it for who asks for it.
func shows(p *policy.Policy) func(*http.Request, string) bool {
	return func(list *http.Request, name string) bool {
		path := list.URL.EscapedPath()
		return p.Shows(policy.Request{
			Caller: list.Header.Get(model.CallerHeader), Action: p.ActionOf(list.Method, path), Method: list.Method, Path: path,
		}, name)
	}
}

// loadModel reads one model of the policy.
func loadModel(m policy.Model, builtin map[string][]byte) (model.Loaded, error) {
	batching := model.Batching{}
	if m.Batch != nil {
		batching = model.Batching{Size: m.Batch.Rows, Wait: m.Batch.Wait}
	}
	if m.Builtin != "" {
		data, ok := builtin[m.Builtin]
		if !ok || len(data) == 0 {
			return model.Loaded{}, fmt.Errorf("model %s: this program has no built-in model %q, expected one of %q", m.Name, m.Builtin, slices.Sorted(maps.Keys(builtin)))
		}
		return model.LoadBatched(m.Name, m.SHA256, bytes.NewReader(data), batching)
	}
	if m.SHA256 == [32]byte{} {
		return model.Loaded{}, fmt.Errorf("model %s: a file without a digest", m.Name)
	}
	f, err := os.Open(m.Path)
	if err != nil {
		return model.Loaded{}, fmt.Errorf("model %s: %w", m.Name, err)
	}
	defer f.Close()
	// A device or a pipe in the file's place would never end.
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return model.Loaded{}, fmt.Errorf("model %s: %s is not a regular file: of a folder `blindbox model pack` makes one", m.Name, m.Path)
	}
	return model.LoadBatched(m.Name, m.SHA256, f, batching)
}
