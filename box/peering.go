package box

import (
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/box/peers"
)

// peering makes what judges callers that are boxes themselves; nil if the policy
// has none, so that a caller which wants to attest is told that nobody asked.
func (b *Box) peering() error {
	var v *peers.Verifier
	if b.cfg.Verifier != nil {
		mine := *b.cfg.Verifier
		mine.Log = func(line string) { b.log(Event{Name: Peering, Detail: line}) }
		v = &mine
	}
	c, err := peers.New(b.policy, v)
	switch {
	case errors.Is(err, peers.ErrNone):
		return nil
	case err != nil:
		return fmt.Errorf("box: %w; nothing was started", err)
	}
	b.peers = c
	return nil
}

// peerConfig is nil if no callers prove themselves.
func (b *Box) peerConfig() *atls.PeerConfig {
	if b.peers == nil {
		return nil
	}
	return b.peers.Config()
}

// startPeers makes sure that the program which judges other boxes starts.
func (b *Box) startPeers() error {
	if b.peers == nil {
		return nil
	}
	if err := b.peers.Start(); err != nil {
		return fmt.Errorf("box: the program that judges other boxes does not start: %w", err)
	}
	return nil
}

// closePeers ends what waits for callers that are boxes.
func (b *Box) closePeers() {
	if b.peers != nil {
		b.peers.Close()
	}
}
