package main

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

var (
	advapi32              = windows.NewLazySystemDLL("advapi32.dll")
	accessCheck           = advapi32.NewProc("AccessCheck")
	createRestrictedToken = advapi32.NewProc("CreateRestrictedToken")
)

// Of winnt.h.
const (
	disableMaxPrivilege = 1
	useForDenyOnly      = 0x10

	genericRead    = 0x120089
	genericWrite   = 0x120116
	genericExecute = 0x1200a0
	allAccess      = 0x1f01ff
)

// What may be done with a file. With a folder the same bits mean: to write is to add files, to append is to add folders.
var rights = []struct {
	name string
	mask uint32
}{
	{"read", genericRead},
	{"execute", genericExecute},
	{"write", 0x2},
	{"append", 0x4},
	{"write-extended-attributes", 0x10},
	{"delete-child", 0x40},
	{"write-attributes", 0x100},
	{"delete", 0x10000},
	{"write-dac", 0x40000},
	{"write-owner", 0x80000},
}

// tokens are who AccessCheck is asked about.
type tokens struct {
	// This process.
	administrator windows.Token
	// The same without Administrators and without privileges.
	ordinary windows.Token
}

// Asker is what a token consists of.
type Asker struct {
	User string `json:"user"`
	// Groups by which something is allowed.
	Enabled []string `json:"enabled"`
	// Groups by which something is denied alone.
	DenyOnly []string `json:"denyOnly"`
}

// open makes both tokens and makes sure, with CheckTokenMembership, that one is an administrator's and the other is not.
func open() (tokens, error) {
	administrators, err := windows.CreateWellKnownSid(windows.WinBuiltinAdministratorsSid)
	if err != nil {
		return tokens{}, err
	}
	var own windows.Token
	if err := windows.OpenProcessToken(windows.CurrentProcess(), windows.TOKEN_DUPLICATE|windows.TOKEN_QUERY, &own); err != nil {
		return tokens{}, fmt.Errorf("OpenProcessToken: %w", err)
	}
	administrator, err := impersonation(own)
	if err != nil {
		return tokens{}, err
	}
	reduced, err := without(administrator, administrators)
	if err != nil {
		return tokens{}, err
	}
	ordinary, err := impersonation(reduced)
	if err != nil {
		return tokens{}, err
	}
	before, err := administrator.IsMember(administrators)
	if err != nil {
		return tokens{}, err
	}
	after, err := ordinary.IsMember(administrators)
	if err != nil {
		return tokens{}, err
	}
	if !before {
		return tokens{}, errors.New("this process is no administrator: taking that away shows nothing")
	}
	if after {
		return tokens{}, errors.New("the token without Administrators is still an administrator's")
	}
	return tokens{administrator: administrator, ordinary: ordinary}, nil
}

// without is a token for which a group counts where it is denied something, and nowhere else, and which has no privilege but that of
// walking through folders.
func without(token windows.Token, group *windows.SID) (windows.Token, error) {
	disabled := []windows.SIDAndAttributes{{Sid: group}}
	var restricted windows.Token
	done, _, err := createRestrictedToken.Call(uintptr(token), disableMaxPrivilege, 1, uintptr(unsafe.Pointer(&disabled[0])), 0, 0, 0, 0,
		uintptr(unsafe.Pointer(&restricted)))
	if done == 0 {
		return 0, fmt.Errorf("CreateRestrictedToken: %w", err)
	}
	return restricted, nil
}

// impersonation is the kind of token that AccessCheck takes.
func impersonation(token windows.Token) (windows.Token, error) {
	const access = windows.TOKEN_QUERY | windows.TOKEN_DUPLICATE | windows.TOKEN_IMPERSONATE
	var copied windows.Token
	if err := windows.DuplicateTokenEx(token, access, nil, windows.SecurityImpersonation, windows.TokenImpersonation, &copied); err != nil {
		return 0, fmt.Errorf("DuplicateTokenEx: %w", err)
	}
	return copied, nil
}

func describe(token windows.Token) (Asker, error) {
	user, err := token.GetTokenUser()
	if err != nil {
		return Asker{}, err
	}
	groups, err := token.GetTokenGroups()
	if err != nil {
		return Asker{}, err
	}
	asker := Asker{User: user.User.Sid.String()}
	for _, group := range groups.AllGroups() {
		switch {
		case group.Attributes&useForDenyOnly != 0:
			asker.DenyOnly = append(asker.DenyOnly, group.Sid.String())
		case group.Attributes&windows.SE_GROUP_ENABLED != 0:
			asker.Enabled = append(asker.Enabled, group.Sid.String())
		}
	}
	return asker, nil
}

// allowed asks for each right by itself whether the descriptor gives it to the token.
func allowed(descriptor []byte, token windows.Token) ([]string, error) {
	mapping := [4]uint32{genericRead, genericWrite, genericExecute, allAccess}
	names := []string{}
	for _, right := range rights {
		var privileges [256]byte
		var granted, status uint32
		size := uint32(len(privileges))
		done, _, err := accessCheck.Call(uintptr(unsafe.Pointer(&descriptor[0])), uintptr(token), uintptr(right.mask),
			uintptr(unsafe.Pointer(&mapping)), uintptr(unsafe.Pointer(&privileges)), uintptr(unsafe.Pointer(&size)),
			uintptr(unsafe.Pointer(&granted)), uintptr(unsafe.Pointer(&status)))
		if done == 0 {
			return nil, fmt.Errorf("AccessCheck: %w", err)
		}
		if status != 0 && granted&right.mask == right.mask {
			names = append(names, right.name)
		}
	}
	return names, nil
}
