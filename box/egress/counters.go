package egress

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Reason is why something did not leave the box.
type Reason string

// What the proxy refuses.
const (
	NotAllowed   Reason = "not allowed"   // no line of the policy is about this host and port
	NameRefused  Reason = "name"          // DNS: no line is about this name
	BadDNS       Reason = "bad dns"       // DNS: not a question that the answerer knows
	TooManyNames Reason = "names"         // lines with a star were used for too many names
	BadAddress   Reason = "address"       // the name resolves to an address that the line does not open
	BadHead      Reason = "bad head"      // not HTTP as RFC 9112 writes it, or a request that could be read in two ways
	OtherHost    Reason = "other host"    // Host or server name are not the host of the connection
	NoTLS        Reason = "no tls"        // the line asks for TLS, and the first bytes are none
	HiddenName   Reason = "hidden name"   // an encrypted ClientHello, whose real server name cannot be seen
	BadProof     Reason = "certificate"   // the server at the address has no valid certificate for the name
	SecondAsk    Reason = "second"        // more bytes after the one request of a connection
	TooMany      Reason = "connections"   // more connections at once than the policy has
	OverBytes    Reason = "bytes"         // the policy's bytes are used up
	SlowHead     Reason = "slow"          // the app did not say in time what it wants
	IdleTooLong  Reason = "idle"          // no byte in either direction for too long
	NotResolved  Reason = "not resolved"  // no answer for the name
	NotConnected Reason = "not connected" // the destination does not answer
)

// What the rules at the gate dropped, and what the app's network had no route for.
const (
	PacketTCP   Reason = "packet tcp"
	PacketUDP   Reason = "packet udp"
	PacketQUIC  Reason = "packet quic" // UDP port 443
	PacketDNS   Reason = "packet dns"  // port 53, but not the answerer's
	PacketICMP  Reason = "packet icmp"
	PacketIPv6  Reason = "packet ipv6"
	PacketARP   Reason = "packet arp"
	PacketOther Reason = "packet other"
	// PacketFragment is a part of an IPv4 packet: only the first part has a port.
	PacketFragment Reason = "packet fragment"
	NoRoute        Reason = "no route"
	NoRouteIPv6    Reason = "no route ipv6"
)

// Event is a refusal, or some of one kind since the last that was reported.
type Event struct {
	Reason Reason
	// Host and Port are as the line of the policy has them that the refusal
	// belongs to; empty if it belongs to none.
	Host string
	Port uint16
	Line int
	// Count is how many refusals of this kind were not reported before.
	Count int64
}

// Destination is what went to and came from one line's places.
type Destination struct {
	Host string `json:"host"`
	Port uint16 `json:"port"`
	// Connections is how many were made, Open how many there are now.
	Connections int64 `json:"connections"`
	Open        int64 `json:"open"`
	// Sent and Received are bytes. Of a connection on which more than 256 KiB went
	// one way, those of the last quarter of a second may be missing while it is open.
	Sent     int64 `json:"sent"`
	Received int64 `json:"received"`
	// Refused is by reason.
	Refused map[Reason]int64 `json:"refused,omitempty"`
}

// Counters is what left the box and what did not, since the start.
type Counters struct {
	// Destinations has one entry for each line of the policy, in its order.
	Destinations []Destination `json:"destinations"`
	// Refused is all refusals, those of Destinations included.
	Refused map[Reason]int64 `json:"refused"`
}

// reportEvery is how often one kind of refusal is reported at most: an app that
// floods the proxy must not flood whoever is told.
const reportEvery = time.Second

// kind is what refusals are reported by. index is -1 for no line.
type kind struct {
	reason Reason
	index  int
}

// ledger counts and reports.
type ledger struct {
	rules  rules
	clock  func() time.Time
	report func(Event)
	lines  []line

	mu      sync.Mutex
	refused map[kind]int64
	pending map[kind]int64
	last    map[kind]time.Time
	dropped func() (map[Reason]int64, error)
	seen    map[Reason]int64 // of dropped
}

// line is counted without a lock: every chunk of every connection passes here.
type line struct {
	connections, open, sent, received atomic.Int64
}

func newLedger(rs rules, clock func() time.Time, report func(Event)) *ledger {
	if report == nil {
		report = func(Event) {}
	}
	return &ledger{
		rules: rs, clock: clock, report: report, lines: make([]line, len(rs)),
		refused: map[kind]int64{}, pending: map[kind]int64{}, last: map[kind]time.Time{}, seen: map[Reason]int64{},
	}
}

// refuse counts a refusal, of a line's or, if r is nil, of no line.
func (l *ledger) refuse(why Reason, r *rule) { l.add(kind{why, indexOf(r)}, 1) }

func indexOf(r *rule) int {
	if r == nil {
		return -1
	}
	return r.index
}

func (l *ledger) add(k kind, n int64) {
	now := l.clock()
	l.mu.Lock()
	l.refused[k] += n
	l.pending[k] += n
	count := int64(0)
	last, before := l.last[k]
	// A clock that was set back is no reason to fall silent.
	if since := now.Sub(last); !before || since >= reportEvery || since < 0 {
		count, l.last[k] = l.pending[k], now
		delete(l.pending, k)
	}
	l.mu.Unlock()
	if count > 0 {
		l.report(l.event(k, count))
	}
}

func (l *ledger) event(k kind, count int64) Event {
	e := Event{Reason: k.reason, Count: count}
	if k.index >= 0 {
		d := l.rules[k.index]
		e.Host, e.Port, e.Line = d.Host, d.Port, d.Line
	}
	return e
}

// flush reports what was held back.
func (l *ledger) flush() {
	l.mu.Lock()
	held := l.pending
	l.pending = map[kind]int64{}
	l.mu.Unlock()
	for k, n := range held {
		l.report(l.event(k, n))
	}
}

// watch has the counters of dropped packets from now on.
func (l *ledger) watch(dropped func() (map[Reason]int64, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if dropped != nil {
		l.dropped, l.seen = dropped, map[Reason]int64{}
	}
}

// poll counts what was dropped since the last time.
func (l *ledger) poll() error {
	l.mu.Lock()
	dropped := l.dropped
	l.mu.Unlock()
	if dropped == nil {
		return nil
	}
	now, err := dropped()
	if err != nil {
		return err
	}
	for why, n := range now {
		if more := l.sinceSeen(why, n); more > 0 {
			l.add(kind{why, -1}, more)
		}
	}
	return nil
}

func (l *ledger) sinceSeen(why Reason, n int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	more := n - l.seen[why]
	l.seen[why] = max(n, l.seen[why])
	return more
}

// Counters returns what was counted so far. The error says that the dropped
// packets could not be read.
func (p *Proxy) Counters() (*Counters, error) {
	if err := p.ledger.poll(); err != nil {
		return nil, err
	}
	return p.ledger.counters(), nil
}

func (l *ledger) counters() *Counters {
	c := &Counters{Refused: map[Reason]int64{}, Destinations: make([]Destination, len(l.rules))}
	for i, r := range l.rules {
		n := &l.lines[i]
		c.Destinations[i] = Destination{
			Host: r.Host, Port: r.Port, Connections: n.connections.Load(), Open: n.open.Load(),
			Sent: n.sent.Load(), Received: n.received.Load(), Refused: map[Reason]int64{},
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, n := range l.refused {
		c.Refused[k.reason] += n
		if k.index >= 0 {
			c.Destinations[k.index].Refused[k.reason] += n
		}
	}
	return c
}

// refusal is an error with a reason to count.
type refusal struct {
	why  Reason
	text string
}

func (e *refusal) Error() string { return "egress: " + e.text }

func refuse(why Reason, text string) error { return &refusal{why, text} }

// reasonOf returns the reason of an error, or otherwise.
func reasonOf(err error, otherwise Reason) Reason {
	var r *refusal
	if errors.As(err, &r) {
		return r.why
	}
	return otherwise
}

// Passed is Counters without the packets that the rules dropped, for which the
// kernel has to be asked: it is cheap and cannot fail.
func (p *Proxy) Passed() *Counters { return p.ledger.counters() }
