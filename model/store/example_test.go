package store_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/blindbox/blindbox/model/store"
)

// text is the least that a model can be.
type text string

func (t text) Bytes() int64 { return int64(len(t)) }

type loader struct{}

func (loader) Load(_ context.Context, _ string, r io.Reader) (store.Ready, error) {
	data, err := io.ReadAll(r)
	return text(data), err
}

// A caller uploads a model, runs it and deletes it.
func Example() {
	s, err := store.Open(store.Config{
		Memory: 1 << 30, OwnerBytes: 1 << 28, OwnerModels: 10, OwnerLoads: 2, LoadTime: time.Minute, Loader: loader{},
		// Disk, Folder and State, if models may leave memory.
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()

	const file = "weights"
	u, err := s.Begin("anna", store.Spec{Name: "xray", Expected: sha256.Sum256([]byte(file))})
	if err != nil {
		fmt.Println(err) // *QuotaError, *FullError, *InputError
		return
	}
	// The connection is cut; the rest comes in another request.
	_, err = u.Append(0, io.MultiReader(strings.NewReader(file[:3]), cut{}))
	fmt.Println(err)
	if u, err = s.Upload("anna", u.ID()); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := u.Append(u.Offset(), strings.NewReader(file[u.Offset():])); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := u.Finish(context.Background()); err != nil {
		fmt.Println(err)
		return
	}

	e, err := s.Get("anna", store.Reference{Name: "xray"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(e.Canonical(), e.Version, e.State) // what the policy decides about
	h, err := s.Use(context.Background(), "anna", e.Reference())
	if err != nil {
		fmt.Println(err) // *NotFoundError, *FullError, *SlowError, *SealedError, *LoadError
		return
	}
	fmt.Println(h.Ready().(text))
	h.Release()

	fmt.Println(s.Delete("ben", e.Reference()))
	fmt.Println(s.Delete("anna", e.Reference()))
	// Output:
	// store: the upload was cut after 3 bytes: unexpected EOF
	// anna~xray 1 ready
	// weights
	// store: no model "anna~xray" version 1
	// <nil>
}

type cut struct{}

func (cut) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
