/** What lives as long as the tab: the stream of changes, the token, the uploads. */

import { createContext, use } from 'react';
import { api } from './api/client';
import { LiveEvents } from './api/live';
import { Authorizer } from './auth/authorizer';
import { UploadManager } from './upload/manager';
import { UploadRecords } from './upload/records';
import { putPart } from './upload/transport';

export interface Services {
  live: LiveEvents;
  authorizer: Authorizer;
  uploads: UploadManager;
}

/** Resolves while the browser has a network. */
function online(signal: AbortSignal): Promise<void> {
  if (navigator.onLine) return Promise.resolve();
  return new Promise((resolve, reject) => {
    window.addEventListener('online', () => resolve(), { once: true, signal });
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}

export function createServices(): Services {
  const authorizer = new Authorizer(sessionStorage, localStorage);
  const now = () => Date.now();
  const uploads = new UploadManager({
    api,
    authorized: authorizer.authorized,
    putPart,
    records: new UploadRecords(localStorage, now),
    online,
    now,
    random: Math.random,
  });
  return { live: new LiveEvents(), authorizer, uploads };
}

export const ServicesContext = createContext<Services | undefined>(undefined);

export function useServices(): Services {
  const services = use(ServicesContext);
  if (services === undefined) throw new Error('useServices needs a ServicesContext above it');
  return services;
}
