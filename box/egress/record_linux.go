package egress

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openTap makes a socket that gets a copy of each packet on the wire, in the calling
// thread's network. With ETH_P_ALL, and only then, the kernel hands it over before the
// rules see the packet (packet(7)).
func openTap() (*os.File, error) {
	const protocol = unix.ETH_P_ALL << 8 // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("a copy of what the app sends: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: otherLink}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("a copy of what the app sends: %w", err)
	}
	return os.NewFile(uintptr(fd), "tap"), nil
}
