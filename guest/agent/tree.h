#pragma once

/*
 * What a container wrote goes in two steps, for a tree takes its time and the
 * next container of this @id may begin at once: the agent moves it away, and a
 * child deletes it. Both give 0 or a positive errno; ENOENT if there is none.
 */
enum { TREE_AWAY = 12 };
int tree_put_away(const char *base, const char *id,
		  char away[static TREE_AWAY]);
int tree_remove(const char *base, const char *away);
