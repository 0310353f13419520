package egress

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The rules at the gate's end of the wire. They hook to the link itself (family
// netdev, hook ingress), before any protocol of the kernel sees a packet: so they
// see every packet, of every protocol, and one list is all there is to read. What
// no rule accepts is dropped by the chain's policy; the counting rules before it
// only say what it was.
const (
	tableName = "blindbox"
	chainName = "from_app"
)

func theTable() *nftables.Table {
	return &nftables.Table{Name: tableName, Family: nftables.TableFamilyNetdev}
}

// counted is a rule that counts and drops.
type counted struct {
	why   Reason
	match []expr.Any
}

// fragments stands before the accepting rules: a later fragment has whatever the
// app likes where the port would be. The wire's ends have one MTU, so TCP is never
// cut there.
func fragments() counted {
	const moreAndOffset = 0x3fff // RFC 791, section 3.1: all of the field but DF
	return counted{PacketFragment, join(isEther(unix.ETH_P_IP), []expr.Any{
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: 6, Len: 2},
		&expr.Bitwise{SourceRegister: register, DestRegister: register, Len: 2, Mask: bigEndian(moreAndOffset), Xor: bigEndian(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: register, Data: bigEndian(0)},
	})}
}

// countedRules are in the order in which they stand after the accepting ones.
func countedRules() []counted {
	ipv4, ipv6, arp := uint16(unix.ETH_P_IP), uint16(unix.ETH_P_IPV6), uint16(unix.ETH_P_ARP)
	ip := func(protocol byte, more ...[]expr.Any) []expr.Any {
		return join(append([][]expr.Any{isEther(ipv4), isProtocol(protocol)}, more...)...)
	}
	return []counted{
		{PacketDNS, ip(unix.IPPROTO_UDP, isPort(53))},
		{PacketDNS, ip(unix.IPPROTO_TCP, isPort(53))},
		{PacketQUIC, ip(unix.IPPROTO_UDP, isPort(443))},
		{PacketUDP, ip(unix.IPPROTO_UDP)},
		{PacketTCP, ip(unix.IPPROTO_TCP)},
		{PacketICMP, ip(unix.IPPROTO_ICMP)},
		{PacketIPv6, isEther(ipv6)},
		{PacketARP, isEther(arp)},
		{PacketOther, nil},
	}
}

// acceptRules let pass what is for a socket of the proxy's, and nothing else.
func acceptRules(p Plan) [][]expr.Any {
	tcp := func(to netip.Prefix, port uint16) []expr.Any {
		return join(isEther(unix.ETH_P_IP), isProtocol(unix.IPPROTO_TCP), p.isFromApp(), isTo(to), isPort(port))
	}
	rules := [][]expr.Any{
		tcp(host(gateAddress), p.Proxy),
		join(isEther(unix.ETH_P_IP), isProtocol(unix.IPPROTO_UDP), p.isFromApp(), isTo(host(gateAddress)), isPort(53)),
	}
	for _, port := range p.Ports {
		rules = append(rules, tcp(netip.MustParsePrefix(pool), port))
	}
	for _, a := range p.Addresses {
		rules = append(rules, tcp(netip.PrefixFrom(a.Addr(), 32), a.Port()))
	}
	return rules
}

// applyRules writes the rules in the calling thread's network, in one transaction.
func applyRules(p Plan) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	drop := nftables.ChainPolicyDrop
	table := c.AddTable(theTable())
	chain := c.AddChain(&nftables.Chain{
		Name: chainName, Table: table, Type: nftables.ChainTypeFilter, Policy: &drop,
		Hooknum: nftables.ChainHookIngress, Priority: nftables.ChainPriorityRef(0), Device: gateLink,
	})
	add := func(match []expr.Any, verdict ...expr.Any) {
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(match, verdict...)})
	}
	add(fragments().match, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop})
	for _, match := range acceptRules(p) {
		add(match, &expr.Verdict{Kind: expr.VerdictAccept})
	}
	for _, r := range countedRules() {
		if r.why == PacketTCP {
			// A reset, so that a program that may not connect knows at once.
			add(r.match, &expr.Counter{}, &expr.Reject{Type: unix.NFT_REJECT_TCP_RST})
			continue
		}
		add(r.match, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop})
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	return nil
}

func join(parts ...[]expr.Any) []expr.Any {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

const register = 1 // NFT_REG_1

func equals(b []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: b}
}

func bigEndian(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

func isEther(protocol uint16) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: register}, equals(bigEndian(protocol))}
}

func isProtocol(p byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register}, equals([]byte{p})}
}

// isPort compares the destination port, at the same place in TCP and UDP. A later
// fragment has no such header, and matches no rule that asks for a port.
func isPort(port uint16) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		equals(bigEndian(port)),
	}
}

// Addresses are at bytes 12 and 16 of the IPv4 header (RFC 791, section 3.1).
func isFrom(p netip.Prefix) []expr.Any { return isAddress(12, p) }

// isFromApp compares with the app's address, or with those of all programs.
func (p *Plan) isFromApp() []expr.Any {
	if p.Programs > 0 {
		return isFrom(netip.MustParsePrefix(innerNetwork))
	}
	return isFrom(host(appAddress))
}

func isTo(p netip.Prefix) []expr.Any { return isAddress(16, p) }

func isAddress(offset uint32, p netip.Prefix) []expr.Any {
	mask := binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-p.Bits()))
	return []expr.Any{
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Bitwise{SourceRegister: register, DestRegister: register, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		equals(p.Masked().Addr().AsSlice()),
	}
}

// dropped reads what the rules have counted, and what had no route to them.
func (n *Namespace) dropped() (map[Reason]int64, error) {
	sums, err := n.unrouted()
	if err != nil {
		return nil, err
	}
	err = within(n.gate, func() error { return readRules(n.plan, sums) })
	if err != nil {
		return nil, fmt.Errorf("egress: the counters of dropped packets cannot be read: %w", err)
	}
	return sums, nil
}

// readRules adds up the counters. The kernel lists the rules in their order.
func readRules(p Plan, sums map[Reason]int64) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	rules, err := c.GetRules(theTable(), &nftables.Chain{Name: chainName})
	if err != nil {
		return err
	}
	want := []counted{fragments()}
	want = append(want, make([]counted, len(acceptRules(p)))...)
	want = append(want, countedRules()...)
	if len(rules) != len(want) {
		return fmt.Errorf("%d rules, expected the %d that were written", len(rules), len(want))
	}
	for i, r := range rules {
		for _, e := range r.Exprs {
			if n, ok := e.(*expr.Counter); ok {
				sums[want[i].why] += int64(n.Packets)
			}
		}
	}
	return nil
}

// unrouted reads how often the app's network had no way to where the app wanted
// to send: without a route nothing gets as far as a rule.
func (n *Namespace) unrouted() (map[Reason]int64, error) {
	sums := map[Reason]int64{}
	for _, network := range append([]*os.File{n.app}, n.inner...) {
		err := within(network, func() error {
			v4, err := statistic("/proc/thread-self/net/snmp", snmpColumn)
			v6, err6 := statistic("/proc/thread-self/net/snmp6", snmp6Line)
			sums[NoRoute] += v4
			sums[NoRouteIPv6] += v6
			return errors.Join(err, err6)
		})
		if err != nil {
			return nil, fmt.Errorf("egress: the statistics of the app's network cannot be read: %w", err)
		}
	}
	return sums, nil
}

func statistic(file string, find func(io.Reader) (int64, error)) (int64, error) {
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil // a kernel without IPv6
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return find(f)
}

// snmpColumn reads OutNoRoutes of the two lines that begin with "Ip:", the names
// and the numbers.
func snmpColumn(f io.Reader) (int64, error) {
	column := -1
	for s := bufio.NewScanner(f); s.Scan(); {
		words := strings.Fields(s.Text())
		if len(words) == 0 || words[0] != "Ip:" {
			continue
		}
		if column >= 0 && column < len(words) {
			return strconv.ParseInt(words[column], 10, 64)
		}
		for i, w := range words {
			if w == "OutNoRoutes" {
				column = i
			}
		}
	}
	return 0, errors.New("no OutNoRoutes in snmp")
}

// snmp6Line reads the line "Ip6OutNoRoutes 0".
func snmp6Line(f io.Reader) (int64, error) {
	for s := bufio.NewScanner(f); s.Scan(); {
		if words := strings.Fields(s.Text()); len(words) == 2 && words[0] == "Ip6OutNoRoutes" {
			return strconv.ParseInt(words[1], 10, 64)
		}
	}
	return 0, errors.New("no Ip6OutNoRoutes in snmp6")
}
