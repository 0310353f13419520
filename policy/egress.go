package policy

// Egress is where the app may connect to. The zero Egress allows nothing: no
// route, no DNS.
type Egress struct {
	// Allow is every destination there is.
	Allow []Destination
	// Connections is how many may be open at once, in total. 0 means none; the
	// document's default is DefaultConnections.
	Connections int
	// Rate is bytes in both directions together in a short time, and Bytes in a
	// long time. nil if the document says nothing.
	Rate, Bytes *Budget
	// Line is where the document speaks of egress; 0 if it does not.
	Line int
}

// DefaultConnections is how many connections an app may have open at once to
// what egress allows, if the document does not say.
const DefaultConnections = 64

// Destination is one place that the app may connect to.
type Destination struct {
	// Host is a name in lower case without a final dot, "*." and such a name
	// (every name with exactly one label more), or an IP address.
	Host string
	// Port is the TCP port, never 0.
	Port uint16
	// TLS is what the proxy asks of the connection.
	TLS TLS
	// Private allows the host to be or to resolve to a private, link-local or
	// loopback address. Without it those are refused.
	Private bool
	// Line is where the entry begins in the document.
	Line int
}

// TLS is what the proxy asks of a connection to a destination.
type TLS string

const (
	// TLSAny asks nothing: what is sent is passed on, whatever it is. It is the
	// default for IP addresses and for ports other than 443.
	TLSAny TLS = "any"
	// TLSPass asks for TLS whose server name is the destination's. It is the
	// default for names on port 443.
	TLSPass TLS = "pass"
	// TLSVerify asks also that the server's certificate is valid for the name.
	TLSVerify TLS = "verify"
)

// EgressUnrestricted reports whether nothing says where the app may connect to:
// it is a plain process, which has the network of its machine, and there is no line
// on egress. An app from an image has a network of its own, and models connect
// nowhere.
func (p *Policy) EgressUnrestricted() bool {
	return p.Egress.Line == 0 && p.App != nil && p.App.Image == ""
}
