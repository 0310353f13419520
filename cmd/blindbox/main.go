// Command blindbox is the one tool for people: it starts boxes on this machine,
// verifies boxes anywhere, and lets ordinary programs talk to them.
//
// It answers one question: may my data go there? It stands with the relying
// party, except for `dev` and `demo`, which also run a simulated box in the
// same process and say so on every line that matters.
//
// Exit codes: 0 verified (or done), 1 usage, 2 verification failed, 3 evidence
// or endorsements unavailable, 4 verified in part. Every error has a number
// that `blindbox explain` and docs/errors explain.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/blindbox/blindbox/box/peers/judge"
	"github.com/blindbox/blindbox/box/sandbox"
)

func main() {
	sandbox.Keep(os.Args)
	judge.Keep(os.Args)
	// net/http tells the standard logger parts of what passes through a box of
	// `dev`, and of what a stranger sends. We print what there is to say.
	log.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C ends the process at once, whatever still runs.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, session{
		args:   os.Args[1:],
		stdin:  os.Stdin,
		stdout: os.Stdout,
		stderr: os.Stderr,
		env:    os.Getenv,
		now:    time.Now,
	}))
}
