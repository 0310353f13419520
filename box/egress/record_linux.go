package egress

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openTap makes a socket that gets a copy of each IPv4 packet that comes over the
// wire, in the calling thread's network. The kernel hands it over before the rules
// see the packet (packet(7)).
func openTap() (*os.File, error) {
	protocol := unix.ETH_P_IP<<8 | unix.ETH_P_IP>>8 // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol&0xffff)
	if err != nil {
		return nil, fmt.Errorf("a copy of what the app sends: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: uint16(protocol), Ifindex: otherLink}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("a copy of what the app sends: %w", err)
	}
	return os.NewFile(uintptr(fd), "tap"), nil
}
