package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// user returns whom the app runs as, and what to tell about it. Only a policy
// can make it root, or give it root's group.
func (c *Config) user() (User, string, error) {
	if c.OneUser {
		return User{}, notEnforced + "app.user: the app runs as you do, as root of a namespace in which nobody else is", nil
	}
	if c.User != nil {
		return *c.User, "", nil
	}
	if c.Image.User == "" {
		return nobody, "the image names no user: the app runs as nobody (65534)", nil
	}
	u, err := lookUp(c.Root, c.Image.User)
	if err != nil {
		return User{}, "", fmt.Errorf("sandbox: the image's user %.80q: %w; give the app a user", c.Image.User, err)
	}
	if u.UID == 0 {
		return nobody, "the image asks for root: the app runs as nobody (65534)", nil
	}
	if u.GID == 0 {
		return User{}, "", fmt.Errorf("sandbox: the image's user %.80q has the group root, which only a policy can give; give the app a user", c.Image.User)
	}
	return u, "", nil
}

// lookUp reads a user as images write it: UID, NAME, UID:GID or NAME:GROUP
// (image-spec, config.md). Names are those of the image's own files.
func lookUp(root, s string) (User, error) {
	who, group, hasGroup := strings.Cut(s, ":")
	uid, primary, err := account(root, who)
	if err != nil {
		return User{}, err
	}
	if !hasGroup {
		return User{uid, primary}, nil
	}
	gid, err := number(group)
	if err != nil {
		if _, gid, err = find(root, "etc/group", group); err != nil {
			return User{}, err
		}
	}
	return User{uid, gid}, nil
}

// account finds a user and its primary group. A number without an entry has
// its own number as group, not root's.
func account(root, who string) (uid, gid uint32, err error) {
	n, err := number(who)
	if err != nil {
		fields, uid, err := find(root, "etc/passwd", who)
		if err != nil {
			return 0, 0, err
		}
		if len(fields) < 4 {
			return 0, 0, fmt.Errorf("the entry of %.80q has %d fields", who, len(fields))
		}
		gid, err := number(fields[3])
		return uid, gid, err
	}
	return n, n, nil
}

func number(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n >= idRange {
		return 0, fmt.Errorf("%.80q is no id below %d", s, idRange)
	}
	return uint32(n), nil
}

// find returns the entry of a name, and its id, which is the third field of
// passwd(5) and of group(5).
func find(root, file, name string) ([]string, uint32, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, 0, err
	}
	defer r.Close()
	f, err := r.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fmt.Errorf("the image has no %s", file)
	}
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	const most = 1 << 20
	lines := bufio.NewScanner(io.LimitReader(f, most))
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if fields[0] == name && len(fields) > 2 {
			id, err := number(fields[2])
			return fields, id, err
		}
	}
	return nil, 0, errors.Join(lines.Err(), fmt.Errorf("no %.80q in the image's %s", name, file))
}
