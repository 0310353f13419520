package store

import "context"

// work is what the context of a loader knows.
type work struct {
	owner string
	watch *watch
	turn  *turn // of who reads a sealed file; else nil
	hold  func(bytes int64) error
}

type workKey struct{}

func (w work) in(ctx context.Context) context.Context { return context.WithValue(ctx, workKey{}, w) }

// Owner is whose model a loader is at work on, so that it can be fair among owners. ctx
// is what [Loader.Load] was given; for any other it is "".
func Owner(ctx context.Context) string {
	w, _ := ctx.Value(workKey{}).(work)
	return w.owner
}

// Hold counts memory that a loader is about to take to work with, beside the bytes of
// its file, until it returns: then it is the model's that counts. It evicts for that
// what is idle. The error says that there is none, and is what Load is to return.
// ctx is what [Loader.Load] was given; for any other all is free.
func Hold(ctx context.Context, bytes int64) error {
	w, ok := ctx.Value(workKey{}).(work)
	if !ok {
		return nil
	}
	return w.hold(bytes)
}

// Pause stops the time of a loader that waits for its turn, until resume is called:
// what others do must not make its model a slow one. It is not for a loader's own work.
// The turn in which a sealed file is read ends.
func Pause(ctx context.Context) (resume func()) {
	w, ok := ctx.Value(workKey{}).(work)
	if !ok {
		return func() {}
	}
	if w.turn != nil {
		w.turn.end()
	}
	w.watch.stop()
	return w.watch.start
}
