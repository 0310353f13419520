package atls

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/blindbox/blindbox/attest"
)

// refusal turns whatever ended the client's side of a gate into what the
// caller is promised: an *attest.Failure, or an error that wraps
// attest.ErrUnavailable.
func refusal(ctx context.Context, err error, proven bool) error {
	var failure *attest.Failure
	var other *notGateError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failure), errors.Is(err, attest.ErrUnavailable):
		return err
	case errors.As(err, &other):
		// It speaks, and not the gate: a web server, or a load balancer that ends TLS.
		return attest.NewFailure("channel.gate", attest.CodeNoAttestation, fmt.Sprintf("%s: the peer began with %q", textNotInBox, other.first[:]), boxAnswers)
	case ctx.Err() != nil:
		return fmt.Errorf("atls: gave up: %w: %w: %w", context.Cause(ctx), attest.ErrUnavailable, err)
	case isTimeout(err):
		return fmt.Errorf("%w: %w", attest.ErrUnavailable, err)
	case proven:
		return fmt.Errorf("atls: after the box was proven: %w: %w", attest.ErrUnavailable, err)
	case isNetwork(err):
		// Not that TLS ends elsewhere: nobody said anything. A box whose time for the
		// gate is up says that; a web server may hang up on what is no HTTP.
		return attest.NewFailure("channel.gate", attest.CodeNoAttestation, "the connection ended before the gate was answered: "+err.Error(), boxAnswers)
	}
	return attest.NewFailure("channel.gate", attest.CodeNoAttestation, "no answer to the gate: "+err.Error(), boxAnswers)
}

// tlsRefusal does the same for the TLS handshake, where a broken network is
// nobody's verdict.
func tlsRefusal(ctx context.Context, err error) error {
	var failure *attest.Failure
	switch {
	case errors.As(err, &failure):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("atls: gave up: %w: %w: %w", context.Cause(ctx), attest.ErrUnavailable, err)
	case isNetwork(err):
		return fmt.Errorf("atls: tls handshake: %w: %w", attest.ErrUnavailable, err)
	}
	return attest.NewFailure("channel.tls", attest.CodeNoAttestation, err.Error(), "a TLS 1.3 handshake with a box")
}

// boxAnswers is what was expected where nothing came that is of the gate.
const boxAnswers = "a box that answers the gate"

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// isNetwork tells a broken connection from a TLS alert, which crypto/tls wraps
// as a net.OpError too.
func isNetwork(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op != "remote error" && op.Op != "local error"
	}
	return isTimeout(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe)
}

// answerOf is what the box's own no means for the client.
func answerOf(r refuse) error {
	if r.code == attest.CodeUnavailable {
		return fmt.Errorf("atls: the box gave no evidence: %q: %w", r.text, attest.ErrUnavailable)
	}
	return attest.NewFailure("channel.answer", r.code, fmt.Sprintf("the box refused: %q", r.text), "evidence")
}

// refuseOf is what is told to the client about our own refusal.
func refuseOf(err error) refuse {
	var failure *attest.Failure
	switch {
	case !errors.As(err, &failure) && errors.Is(err, attest.ErrUnavailable):
		// The cause is for the box's operator, not for strangers.
		return refuse{code: attest.CodeUnavailable, text: "this box cannot get evidence at the moment"}
	case errors.Is(err, errNoQuestion):
		return refuse{code: attest.CodeUnavailable, text: errNoQuestion.Error()}
	case failure != nil && failure.Code() != "":
		return refuse{code: failure.Code(), text: failure.Error()}
	}
	return refuse{code: attest.CodeMalformed, text: "the gate was not followed"}
}
