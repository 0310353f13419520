package store

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/blindbox/blindbox/internal/sizes"
)

// ErrClosed is the answer of a store that was closed.
var ErrClosed = errors.New("store: closed")

// NotFoundError says that the caller has no such model, or may not know of it.
type NotFoundError struct{ Reference Reference }

func (e *NotFoundError) Error() string { return fmt.Sprintf("store: no model %v", e.Reference) }

// NoUploadError says that the caller has no such upload: there was none, it has
// ended, or it was idle for too long.
type NoUploadError struct{ ID string }

func (e *NoUploadError) Error() string {
	return fmt.Sprintf("store: no upload %.64q; one that is idle ends after %v: begin again", e.ID, IdleTime)
}

// OwnerError says that the caller may use a model but does not own it.
type OwnerError struct{ Model string }

func (e *OwnerError) Error() string {
	return fmt.Sprintf("store: %s can be changed by its owner only", e.Model)
}

// QuotaError says which quota of the owner would be exceeded.
type QuotaError struct {
	What        string // "bytes", "bytes of memory", "models" or "uploads at once"
	Seen, Limit int64  // what there would be; what there may be
	Open        int    // of the models, what is an upload that has not ended, which no list shows
	Alone       bool   // the file is larger than the quota by itself: no other place is in its way
}

func (e *QuotaError) Error() string {
	if e.Alone {
		return fmt.Sprintf("store: the model is larger than all that one caller may have, %s: store.owner.bytes of the policy", sizes.Exact(e.Limit))
	}
	seen, limit := strconv.FormatInt(e.Seen, 10), strconv.FormatInt(e.Limit, 10)
	if strings.HasPrefix(e.What, "bytes") {
		seen, limit = sizes.Exact(e.Seen), sizes.Exact(e.Limit)
	}
	open := ""
	if e.Open > 0 {
		open = fmt.Sprintf(" and uploads that have not ended (%d)", e.Open)
	}
	return fmt.Sprintf("store: quota of %s: %s with this one%s, limit %s; delete a model, end an upload, or have more in store.owner of box.yaml", e.What, seen, open, limit)
}

// FullError says that the box has no room for now, or never for this model.
type FullError struct {
	What        string // "memory", "memory for one caller's uploads", "pinned memory" or "disk"
	Need, Limit int64  // bytes
	Never       bool   // it does not fit even if nothing else were there
}

func (e *FullError) Error() string {
	if e.Never {
		return fmt.Sprintf("store: the model needs %s of %s, the box has %s", sizes.Exact(e.Need), e.What, sizes.Exact(e.Limit))
	}
	return fmt.Sprintf("store: no %s of %s are free of %s; try again later", sizes.Exact(e.Need), e.What, sizes.Exact(e.Limit))
}

// DigestError says that a file is not the one that was announced.
type DigestError struct{ Seen, Expected Digest }

func (e *DigestError) Error() string {
	return fmt.Sprintf("store: the file has the digest %v, expected %v; nothing was kept", e.Seen, e.Expected)
}

// LengthError says that a file is not as long as was announced.
type LengthError struct{ Seen, Declared int64 }

func (e *LengthError) Error() string {
	if e.Seen > e.Declared {
		return fmt.Sprintf("store: the file goes on after %d bytes, the length that was declared; nothing was kept", e.Declared)
	}
	return fmt.Sprintf("store: %d bytes of the file are here, %d were declared; send the rest", e.Seen, e.Declared)
}

// OffsetError says that a part of an upload does not begin where the last has ended.
type OffsetError struct{ Seen, Expected int64 }

func (e *OffsetError) Error() string {
	return fmt.Sprintf("store: the part begins at byte %d, expected %d", e.Seen, e.Expected)
}

// SlowError says that a loader worked for longer than it may.
type SlowError struct {
	Model string
	Limit time.Duration
}

func (e *SlowError) Error() string {
	return fmt.Sprintf("store: %s was not loaded within %v", e.Model, e.Limit)
}

// LoadError says that a loader refuses a file, or panicked.
type LoadError struct {
	Model string
	Panic bool // Cause is then what it panicked with
	Cause error
}

func (e *LoadError) Error() string {
	if e.Panic {
		return fmt.Sprintf("store: loading %s failed inside: %v", e.Model, e.Cause)
	}
	return fmt.Sprintf("store: loading %s: %v", e.Model, e.Cause)
}

// Unwrap returns the loader's error.
func (e *LoadError) Unwrap() error { return e.Cause }

// SealedError says that a model's file on the disk is not the one that was sealed. The
// model can be uploaded again or deleted.
type SealedError struct {
	Model   string
	Problem string
	Cause   error
}

func (e *SealedError) Error() string {
	text := fmt.Sprintf("store: the sealed file of %s %s", e.Model, e.Problem)
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text + "; upload it again or delete it"
}

// Unwrap returns the system's error, if there is one.
func (e *SealedError) Unwrap() error { return e.Cause }

// ConflictError says that something cannot be done to a model as things are.
type ConflictError struct{ Model, Why string }

func (e *ConflictError) Error() string { return fmt.Sprintf("store: %s %s", e.Model, e.Why) }

// InputError says that a name or an option cannot be.
type InputError struct{ Why string }

func (e *InputError) Error() string { return "store: " + e.Why }

// named puts a model's name into an error that knows none.
func named(err error, model string) error {
	switch e := err.(type) {
	case *SlowError:
		return &SlowError{model, e.Limit}
	case *LoadError:
		return &LoadError{model, e.Panic, e.Cause}
	case *SealedError:
		return &SealedError{model, e.Problem, e.Cause}
	}
	return err
}
