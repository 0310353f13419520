package model

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/blindbox/blindbox/model/schedule"
	"github.com/blindbox/blindbox/model/store"
)

// failure is an answer that is an error: its status, its text, and when to try again.
type failure struct {
	status int
	text   string
	retry  time.Duration // 0: not at all
	// param is the parameter that is wrong, for clients of OpenAI's API; code what these
	// branch on. Both may be "".
	param, code string
}

func (f *failure) Error() string { return f.text }

func fail(status int, format string, args ...any) error {
	return &failure{status: status, text: fmt.Sprintf(format, args...)}
}

// Later says that it may be tried again.
func (f *failure) Later() bool { return f.retry > 0 }

// later is a refusal of what may be tried again.
func later(status int, retry time.Duration, format string, args ...any) error {
	return &failure{status: status, text: fmt.Sprintf(format, args...), retry: max(retry, time.Second)}
}

// failureOf is what the caller is told of an error: of one that is not meant for it,
// nothing.
func failureOf(err error) *failure {
	var f *failure
	if !errors.As(err, &f) {
		return &failure{status: http.StatusInternalServerError, text: "internal error"}
	}
	return f
}

// reply is the protocol's error object.
func (f *failure) reply() reply {
	return reply{body: append(append([]byte(`{"error":`), quoted(f.text)...), '}')}
}

// loadRetry is after how long a load may find room.
const loadRetry = 5 * time.Second

// refusal says what the store's error means to a caller.
func (s *Server) refusal(ctx context.Context, err error) error {
	text := strings.TrimPrefix(err.Error(), "store: ")
	// 507 is for what there may be room for another time (RFC 4918, section 11.5). For a
	// file that no caller may have there never is: 413 (RFC 9110, section 15.5.14), as
	// where it is sent in one body that long.
	if quota := (*store.QuotaError)(nil); errors.As(err, &quota) && quota.Alone {
		return fail(http.StatusRequestEntityTooLarge, "%s", text)
	}
	for _, known := range []struct {
		err   any
		retry time.Duration
		code  int
	}{
		{new(*store.NotFoundError), 0, http.StatusNotFound},
		{new(*store.NoUploadError), 0, http.StatusNotFound},
		{new(*store.OwnerError), 0, http.StatusForbidden},
		{new(*store.ConflictError), 0, http.StatusConflict},
		{new(*store.OffsetError), 0, http.StatusConflict},
		{new(*store.InputError), 0, http.StatusBadRequest},
		{new(*store.DigestError), 0, http.StatusBadRequest},
		{new(*store.LengthError), 0, http.StatusBadRequest},
		{new(*store.SlowError), 0, http.StatusUnprocessableEntity},
		{new(*store.QuotaError), 0, http.StatusInsufficientStorage},
		{new(*store.SealedError), 0, http.StatusInternalServerError},
	} {
		if errors.As(err, known.err) {
			f := &failure{status: known.code, text: text}
			if _, none := known.err.(**store.NotFoundError); none {
				f.param, f.code = "model", "model_not_found"
			}
			return f
		}
	}
	return s.refusalOfTheMoment(ctx, err, text)
}

// refusalOfTheMoment is refusal for what may be otherwise at another time.
func (s *Server) refusalOfTheMoment(ctx context.Context, err error, text string) error {
	var full *store.FullError
	var load *store.LoadError
	var busy *schedule.Overload
	switch {
	case errors.As(err, &busy):
		return later(http.StatusTooManyRequests, busy.RetryAfter, "%v", busy)
	case errors.As(err, &full) && full.Never:
		return fail(http.StatusInsufficientStorage, "%s", text)
	case errors.As(err, &full):
		return later(http.StatusServiceUnavailable, loadRetry, "%s", text)
	case errors.As(err, &load) && load.Panic:
		return fail(http.StatusUnprocessableEntity, "loading %s failed inside; it is not there", load.Model)
	case errors.As(err, &load):
		return fail(http.StatusUnprocessableEntity, "%s", text)
	case errors.Is(err, store.ErrClosed):
		return later(http.StatusServiceUnavailable, 0, "the box is stopping")
	case ctx.Err() != nil:
		return later(http.StatusServiceUnavailable, loadRetry, "the model was not ready within %v; it is still being loaded if others wait for it", s.deadline)
	}
	return err
}

// orFail is an error that the caller may be told, or fail in the place of another one.
func orFail(err error, status int, format string, args ...any) error {
	var told *failure
	if errors.As(err, &told) {
		return told
	}
	return fail(status, format, args...)
}

// notRun says why a run, or work beside one, did not begin or go on.
func notRun(err error) error {
	var full *schedule.Overload
	switch {
	case errors.As(err, &full):
		return later(http.StatusTooManyRequests, full.RetryAfter, "%v", full)
	case errors.Is(err, context.DeadlineExceeded):
		return later(http.StatusServiceUnavailable, 0, "the request's time was over before its run began; try again")
	}
	return later(http.StatusServiceUnavailable, 0, "the caller left before the run began")
}
