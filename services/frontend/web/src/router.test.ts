import { expect, it } from 'vitest';
import { parseRoute, paths } from './router';

it.each([
  ['/', { page: 'Library' }],
  ['/upload', { page: 'Upload' }],
  ['/upload/', { page: 'Upload' }],
  ['/videos/abc', { page: 'Video', id: 'abc' }],
  ['/videos/a%2Fb', { page: 'Video', id: 'a/b' }],
  ['/videos', { page: 'NotFound' }],
  ['/videos/a/b', { page: 'NotFound' }],
  ['/videos/%', { page: 'NotFound' }],
  ['/upload/x', { page: 'NotFound' }],
])('%s', (path, route) => expect(parseRoute(path)).toEqual(route));

it('makes paths that lead back', () => {
  expect(parseRoute(paths.video('a/b c'))).toEqual({ page: 'Video', id: 'a/b c' });
});
