package process

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
)

// exposed returns an address besides loopback at which something listens on
// the app's port, or "". Such an app answers strangers beside the gate.
func exposed(port int) (string, error) {
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		f, err := os.Open(table)
		if os.IsNotExist(err) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return "", fmt.Errorf("process: %w", err)
		}
		found, err := exposedIn(f, port)
		f.Close()
		if found != "" || err != nil {
			return found, err
		}
	}
	return "", nil
}

// stateListen is TCP_LISTEN in the st column (include/net/tcp_states.h).
const stateListen = "0A"

// exposedIn reads a table as proc_pid_net(5) describes it: the second column
// is ADDRESS:PORT in hex, the fourth the state.
func exposedIn(table io.Reader, port int) (string, error) {
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		columns := strings.Fields(lines.Text())
		if len(columns) < 4 || columns[3] != stateListen {
			continue
		}
		address, number, ok := strings.Cut(columns[1], ":")
		n, err := strconv.ParseUint(number, 16, 16)
		ip, bad := kernelAddress(address)
		if !ok || err != nil || bad != nil {
			return "", fmt.Errorf("process: cannot read %q in the table of listening sockets", columns[1])
		}
		if int(n) == port && !ip.IsLoopback() {
			return net.JoinHostPort(ip.String(), strconv.Itoa(port)), nil
		}
	}
	return "", lines.Err()
}

// kernelAddress reads 4 or 16 bytes that stand as 32-bit words in the order of
// the machine's bytes. Boxes run on little-endian machines only (amd64, arm64).
func kernelAddress(text string) (net.IP, error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != net.IPv4len && len(b) != net.IPv6len {
		return nil, fmt.Errorf("address %q", text)
	}
	for i := 0; i < len(b); i += 4 {
		b[i], b[i+1], b[i+2], b[i+3] = b[i+3], b[i+2], b[i+1], b[i]
	}
	return b, nil
}
