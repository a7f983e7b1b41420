#pragma once

/*
 * How mayctl ends, and a microVM whose command could not say it. People and
 * scripts know these numbers.
 */
enum ctl_exit {
	CTL_OK = 0,
	CTL_REFUSED = 1, /* the API or the microVM said no */
	CTL_USAGE = 2,
	CTL_UNREACHABLE = 3, /* nobody listens at the socket */
	CTL_NOISY = 4,	     /* bench: the figures can't be trusted */
	CTL_NOT_RUN = 5,     /* bench: what was named can't run here */
	/* run and exec end as their command does, or as docker would: */
	CTL_TIMEOUT = 124,
	CTL_FAILED = 125,
};
