package store

import "context"

// work is what the context of a loader knows.
type work struct {
	owner string
	watch *watch
	turn  *turn // of who reads a sealed file; else nil
}

type workKey struct{}

func (w work) in(ctx context.Context) context.Context { return context.WithValue(ctx, workKey{}, w) }

// Owner is whose model a loader is at work on, so that it can be fair among owners. ctx
// is what [Loader.Load] was given; for any other it is "".
func Owner(ctx context.Context) string {
	w, _ := ctx.Value(workKey{}).(work)
	return w.owner
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
