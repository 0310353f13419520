package egress

import (
	"errors"
	"io"
	"net"
	"time"
)

// peeked is a connection of the app's of which some bytes were read to look at
// them. What was not taken goes on unchanged.
type peeked struct {
	net.Conn
	buf []byte
}

// maxPeek is how many bytes are looked at at most. A ClientHello with
// post-quantum keys has 2 KiB, heads of requests are larger because of cookies.
const maxPeek = 64 << 10

var errPeekFull = errors.New("egress: too many bytes before their meaning is clear")

// more reads once, and returns an error if nothing came.
func (p *peeked) more() error {
	if len(p.buf) >= maxPeek {
		return errPeekFull
	}
	room := make([]byte, min(4<<10, maxPeek-len(p.buf)))
	n, err := p.Conn.Read(room)
	p.buf = append(p.buf, room[:n]...)
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// until reads until look says that it has seen enough. look is shown all bytes
// so far each time, so it must be cheap or bounded. A timeout of 0 is none.
func (p *peeked) until(timeout time.Duration, look func([]byte) (done bool, err error)) error {
	if timeout > 0 {
		p.SetReadDeadline(time.Now().Add(timeout))
		defer p.SetReadDeadline(time.Time{})
	}
	for {
		if len(p.buf) > 0 {
			if done, err := look(p.buf); done || err != nil {
				return err
			}
		}
		if err := p.more(); err != nil {
			return err
		}
	}
}

// take returns the first n bytes, or all if n is negative, and forgets them.
func (p *peeked) take(n int) []byte {
	if n < 0 || n > len(p.buf) {
		n = len(p.buf)
	}
	b := p.buf[:n:n]
	p.buf = p.buf[n:]
	return b
}

// slow tells the two ways in which reading ends early apart: the app was too
// slow, or it went away, which is no refusal.
func slow(err error) Reason {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return SlowHead
	case errors.Is(err, errPeekFull):
		return BadHead
	}
	return ""
}
